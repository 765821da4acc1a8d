// Adds up the reports of several test runs and prints 'N passed, N failed' as the last line. A skipped test counts as failed: where this
// runs, everything that tests need is installed.
import { existsSync, readFileSync } from 'node:fs';

const [otherFailures, ...reports] = process.argv.slice(2);
let passed = 0;
let failed = 0;
for (const path of reports) {
  if (!existsSync(path)) {
    process.stdout.write(`no report at ${path}: the tests did not run\n`);
    failed += 1;
    continue;
  }
  const report = JSON.parse(readFileSync(path, 'utf8'));
  for (const file of report.testResults) {
    // A file that could not be loaded has no tests to count.
    if (file.status === 'failed' && file.assertionResults.length === 0) failed += 1;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed += 1;
      else {
        failed += 1;
        process.stdout.write(`${test.status}: ${test.fullName}\n`);
      }
    }
  }
}
const good = failed === 0 && otherFailures === '0';
if (failed === 0 && !good) process.stdout.write('a step other than the tests failed\n');
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = good ? 0 : 1;
