import { defineConfig } from 'vitest/config';

// Tests run as compiled, so that worker threads and child processes are the very files that ship.
export default defineConfig({
  test: {
    include: ['dist/test/long/**/*.test.js'],
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    maxWorkers: 2,
  },
});
