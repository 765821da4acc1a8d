import { defineConfig } from 'vitest/config';

// Tests run as compiled, so that worker threads and child processes are the very files that ship.
export default defineConfig({
  test: {
    include: ['dist/src/**/*.test.js', 'dist/test/**/*.test.js'],
    exclude: ['dist/test/long/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
