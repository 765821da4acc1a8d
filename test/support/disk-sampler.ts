// Run as a process of its own: disk-sampler.js DIRECTORY. Every 50 ms it adds up what is in the directory, the larger of sizes and blocks;
// when its input ends it writes the most that it saw, and how often it looked.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const [directory = ''] = process.argv.slice(2);
let most = 0;
let samples = 0;

function sample(): void {
  let [sizes, blocks] = [0, 0];
  const add = (path: string): void => {
    const info = lstatSync(path, { throwIfNoEntry: false });
    sizes += info?.size ?? 0;
    blocks += (info?.blocks ?? 0) * 512;
  };
  add(directory);
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }))
    add(join(directory, name));
  most = Math.max(most, sizes, blocks);
  samples += 1;
}

const timer = setInterval(sample, 50);
sample();
process.stdout.write('ready\n');
process.stdin.resume().once('end', () => {
  clearInterval(timer);
  sample();
  process.stdout.write(`${JSON.stringify({ most, samples })}\n`);
});
