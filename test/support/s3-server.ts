import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { start } from './cli.js';

const VARIABLE = 'CALYX_TEST_S3_SERVER';
const REMEDY = `run scripts/s3-server.sh, and set ${VARIABLE} to what it prints if it was told another directory`;

/** Why there is no S3 server, or undefined if there is. In continuous integration there must be one. */
export const noS3Server = findMissing();

/** The access key of the server's owner. */
export const S3_KEY = {
  id: 'AKIATESTOFCALYX00001',
  secret: 'a/secret+of/the+tests/of/calyx/and/nothing',
} as const;
export const S3_REGION = 'us-east-1';

/** Puts files by curl's own signature, so that nothing of ours has a part in it. */
export interface PutOptions {
  /** Tells the storage the SHA-256, which it checks and keeps. @default false */
  readonly checksum?: boolean;
}

/** A real S3 server (versitygw) over an empty directory. */
export class S3Server {
  readonly port: number;
  /** Path style. */
  readonly url: string;
  readonly #directory: string;
  readonly #child: ChildProcess;

  private constructor(port: number, directory: string, child: ChildProcess) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#directory = directory;
    this.#child = child;
  }

  static async start(): Promise<S3Server> {
    const directory = mkdtempSync(join(realpathSync(tmpdir()), 'calyx-s3-'));
    const [root, sidecar] = [join(directory, 'root'), join(directory, 'meta')];
    for (const each of [root, sidecar, join(directory, 'iam')]) mkdirSync(each);
    const port = await freePort();
    const child = spawn(
      serverPath(),
      [
        '--port',
        `127.0.0.1:${port}`,
        '--region',
        S3_REGION,
        '--iam-dir',
        join(directory, 'iam'),
        '--keep-alive',
        '--quiet',
        'posix',
        '--sidecar',
        sidecar,
        root,
      ],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { PATH: process.env['PATH'], ROOT_ACCESS_KEY: S3_KEY.id, ROOT_SECRET_KEY: S3_KEY.secret },
      },
    );
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)));
    const failed = new Promise<never>((_resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the S3 server ended with code ${code}: ${said}`)));
    });
    failed.catch(() => undefined);
    const server = new S3Server(port, directory, child);
    try {
      await Promise.race([listens(port), failed]);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** What a process needs to use it, with `url` instead of its own address if there is a proxy before it. */
  env(url = this.url): Record<string, string> {
    return {
      CALYX_S3_ENDPOINT: url,
      AWS_ACCESS_KEY_ID: S3_KEY.id,
      AWS_SECRET_ACCESS_KEY: S3_KEY.secret,
      AWS_REGION: S3_REGION,
      ...NO_OTHER_CREDENTIALS,
    };
  }

  /** Makes a bucket. */
  async makeBucket(bucket: string): Promise<void> {
    await this.#curl(bucket, '-X', 'PUT');
  }

  /** Puts all files of a directory under a prefix. */
  async putDirectory(
    bucket: string,
    prefix: string,
    directory: string,
    options: PutOptions = {},
  ): Promise<void> {
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      await this.putFile(bucket, `${prefix}/${path.slice(directory.length + 1)}`, path, options);
    }
  }

  async putFile(
    bucket: string,
    key: string,
    path: string,
    { checksum = false }: PutOptions = {},
  ): Promise<void> {
    const sum = checksum ? createHash('sha256').update(readFileSync(path)).digest('base64') : undefined;
    const headers = sum === undefined ? [] : ['-H', `x-amz-checksum-sha256: ${sum}`];
    await this.#curl(`${bucket}/${escape(key)}`, '-T', path, ...headers);
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    await this.#curl(`${bucket}/${escape(key)}`, '-X', 'DELETE');
  }

  /** Allows everybody to list and read a bucket. */
  async makePublic(bucket: string): Promise<void> {
    const policy = {
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Allow', Principal: '*', Action: ['s3:ListBucket'], Resource: [`arn:aws:s3:::${bucket}`] },
        { Effect: 'Allow', Principal: '*', Action: ['s3:GetObject'], Resource: [`arn:aws:s3:::${bucket}/*`] },
      ],
    };
    await this.#curl(`${bucket}?policy=`, '-X', 'PUT', '--data-binary', JSON.stringify(policy));
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 3 });
  }

  async #curl(path: string, ...args: string[]): Promise<void> {
    const signed = ['--aws-sigv4', `aws:amz:${S3_REGION}:s3`, '--user', `${S3_KEY.id}:${S3_KEY.secret}`];
    const always = ['--silent', '--show-error', '--fail-with-body', '--path-as-is', '--max-time', '60'];
    const unsigned = ['-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD'];
    const ended = await start('curl', [...always, ...signed, ...unsigned, ...args, `${this.url}/${path}`])
      .ended;
    if (ended.code !== 0) throw new Error(`curl ${args.join(' ')} ${path}: ${ended.stdout} ${ended.stderr}`);
  }
}

/** So that no test finds credentials of whoever runs it, or looks for them in the network. */
export const NO_OTHER_CREDENTIALS = {
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_PROFILE: '',
  AWS_SESSION_TOKEN: '',
  AWS_WEB_IDENTITY_TOKEN_FILE: '',
  AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '',
  AWS_CONTAINER_CREDENTIALS_FULL_URI: '',
} as const;

const escape = (key: string): string => key.split('/').map(encodeURIComponent).join('/');

function serverPath(): string {
  const set = process.env[VARIABLE];
  if (set !== undefined && set !== '') return set;
  const directory = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'calyx', 's3-server');
  const found = existsSync(directory)
    ? readdirSync(directory).filter((name) => /^versitygw-v[\d.]+$/.test(name))
    : [];
  return join(directory, found.sort().at(-1) ?? 'versitygw');
}

function findMissing(): string | undefined {
  const path = serverPath();
  try {
    accessSync(path, constants.X_OK);
    return undefined;
  } catch {
    const why = `an S3 server is needed to check against, and ${path} is none: ${REMEDY}`;
    if (process.env['CI'] !== undefined) throw new Error(why);
    return why;
  }
}

/** Asks until something listens: there is no other sign of it. */
async function listens(port: number): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  while (!(await accepts(port))) {
    if (performance.now() > giveUpAt) throw new Error('the S3 server does not listen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
