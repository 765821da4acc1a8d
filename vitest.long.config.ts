import { defineConfig } from 'vitest/config';

const report = process.env['CALYX_TEST_REPORT'];

// Tests run as compiled, so that worker threads and child processes are the very files that ship.
export default defineConfig({
  test: {
    // Where CI asks for it, a report that it can count.
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    include: ['dist/test/long/**/*.test.js'],
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    // One after the other: some measure.
    maxWorkers: 1,
  },
});
