import { resolve } from 'node:path';
import type { Command } from 'commander';
import { obtainCertificate, type ObtainedCertificate } from '../app/certificate/obtain-certificate.js';
import { storeAccess } from '../app/join/store-access.js';
import { CalyxError } from '../core/errors.js';
import { parseDuration } from '../core/duration.js';
import { note, print, printJson } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';

interface CertificateOptions extends CommonOptions {
  readonly out: string;
  readonly lifetime: string;
}

/** `calyx certificate --out DIRECTORY`: a certificate of the cluster for other programs of this machine. */
export function certificateCommand(program: Command): void {
  program
    .command('certificate')
    .description(
      'get a certificate of the cluster that was joined, for other programs (tlshd, Prometheus, curl); run again, it renews it',
    )
    .requiredOption(
      '--out <directory>',
      'where ca.pem, certificate.pem and key.pem (for its owner alone) are written',
    )
    .option(
      '--lifetime <time>',
      'how long it is good: 1m to 24h, and never longer than the token that was joined with',
      '24h',
    )
    .option('--json', 'print the paths and the end as JSON')
    .option('--verbose', 'show where errors come from')
    .action((options: CertificateOptions) =>
      runCommand(options, async (signal) => {
        if (options.out === '')
          throw new CalyxError('usage', '--out names no directory', {
            hint: 'is a variable in the command unset?',
          });
        const obtained = await obtainCertificate({
          access: await storeAccess(undefined),
          directory: resolve(options.out),
          lifetimeMs: parseDuration(options.lifetime),
          signal,
        });
        if (options.json === true) printJson(toJson(obtained));
        else tell(obtained, options);
        return 0;
      }),
    );
}

/** A renewal that fails is tried twice more before the certificate is over. */
const RENEWALS_IN_LIFETIME = 3;

function tell({ files, grant, expiresAt }: ObtainedCertificate, { lifetime }: CertificateOptions): void {
  print(`${files.certificate}: good until ${new Date(expiresAt).toISOString()}`);
  print(`as ${grant.name}: role ${grant.role}, models ${grant.models}`);
  const minutes = Math.max(1, Math.floor((expiresAt - Date.now()) / 60_000 / RENEWALS_IN_LIFETIME));
  const command = [process.execPath, process.argv[1] ?? 'calyx', 'certificate', '--out', files.directory];
  note(`
for mounts with xprtsec=tls or mtls, in /etc/tlshd.conf (newer versions: /etc/tlshd/config); restart tlshd then, this once:
  [authenticate.client]
  x509.truststore=${files.ca}
  x509.certificate=${files.certificate}
  x509.private_key=${files.key}

to renew it, /etc/systemd/system/calyx-certificate.service:
  [Service]
  Type=oneshot${serviceEnvironment()}
  ExecStart=${[...command, '--lifetime', lifetime].map(argument).join(' ')}
and /etc/systemd/system/calyx-certificate.timer, then 'systemctl enable --now calyx-certificate.timer':
  [Timer]
  OnBootSec=1min
  OnUnitActiveSec=${minutes}min
  [Install]
  WantedBy=timers.target`);
}

/** Where the cluster is kept that this user has joined; the join string itself must not stand in a unit, which all may read. */
function serviceEnvironment(): string {
  const { HOME: home, XDG_CONFIG_HOME: xdg } = process.env;
  const lines = Object.entries({ HOME: home, XDG_CONFIG_HOME: xdg }).flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [`\n  Environment=${quoted(`${name}=${value}`)}`],
  );
  return lines.join('');
}

/** As an argument of a command, in which systemd.service replaces variables. */
function argument(word: string): string {
  return quoted(word.replaceAll('$', '$$$$'));
}

/** As a word of a systemd unit (systemd.syntax, systemd.unit: "Specifiers"). */
function quoted(word: string): string {
  const text = word.replaceAll('%', '%%');
  return /^[\w./:=%@+,-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

function toJson({
  files: { directory, key, certificate, ca },
  grant,
  expiresAt,
}: ObtainedCertificate): unknown {
  const { name, role, models } = grant;
  return { directory, files: { ca, certificate, key }, name, role, models, expiresAt };
}
