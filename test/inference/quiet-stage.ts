// Started by stage.test.ts in an empty environment: runs one step through a worker thread.
import { fixture } from './model-files.js';
import { startHosts, tokenInput } from './pipelines.js';

const hosts = await startHosts(fixture('llama3-rope'), [{ start: 0, end: 6 }]);
for (const host of hosts) {
  await host.open('s', 4);
  const { data } = await host.forward('s', 0, tokenInput([1, 2]));
  process.stdout.write(`${data.length} logits\n`);
  await host.stop();
}
