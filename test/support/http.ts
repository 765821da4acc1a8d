import { connect, type Socket } from 'node:net';
import { start } from './cli.js';

/** An answer as curl saw it. */
export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Asks with curl: `--path-as-is`, so that nothing is tidied up on the way. */
export async function curl(url: string, ...args: string[]): Promise<Answer> {
  const all = ['-s', '-i', '-g', '--path-as-is', '--max-time', '30', ...args, url];
  const { code, stdout, stderr } = await start('curl', all).ended;
  if (code !== 0) throw new Error(`curl ended with ${String(code)}: ${stderr}`);
  const end = stdout.indexOf('\r\n\r\n');
  const [first = '', ...lines] = stdout.slice(0, end).split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return {
    status: Number(first.split(' ')[1]),
    headers: Object.fromEntries(headers),
    body: stdout.slice(end + 4),
  };
}

/** Opens a TCP connection. */
export function openSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });
}

/** Sends bytes as they are and returns all that comes back until the server closes. */
export async function sendRaw(port: number, request: string): Promise<string> {
  const socket = await openSocket(port);
  socket.write(request);
  let answer = '';
  for await (const piece of socket.setEncoding('latin1')) answer += String(piece);
  return answer;
}
