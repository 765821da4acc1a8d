import { startCalyx, type Ended, type Running } from './cli.js';

/** A `calyx node` in a process of its own. */
export interface NodeProcess {
  readonly url: string;
  readonly process: Running;
  stop(): Promise<Ended>;
}

/** Starts a node with all that its environment says, and waits until it listens. */
export async function startNodeProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<NodeProcess> {
  const running = startCalyx(['node', ...args, '--json'], env);
  const url = await new Promise<string>((resolve, reject) => {
    let text = '';
    running.child.stdout?.on('data', (piece: string) => {
      text += piece;
      const line = text.split('\n').find((one) => one.includes('"event":"listening"'));
      if (line?.endsWith('}') === true) resolve((JSON.parse(line) as { url: string }).url);
    });
    void running.ended.then((ended) => {
      reject(new Error(`the node did not start: ${JSON.stringify(ended)}`));
    }, reject);
  });
  return {
    url,
    process: running,
    stop: () => {
      running.child.kill();
      return running.ended;
    },
  };
}
