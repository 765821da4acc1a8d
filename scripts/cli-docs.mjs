// Prints docs/cli.md: the help of every command, so that it is never out of step.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const calyx = fileURLToPath(new URL('../bin/calyx.mjs', import.meta.url));
const env = { PATH: process.env.PATH, NO_COLOR: '1', COLUMNS: '100' };
const help = (...args) =>
  spawnSync(process.execPath, [calyx, ...args, '--help'], { encoding: 'utf8', env }).stdout.trimEnd();

const overview = help();
const namesIn = (list) =>
  [...list.matchAll(/^ {2}(\w+) /gm)].map((match) => match[1]).filter((name) => name !== 'help');
const commands = namesIn(overview.split('Commands:')[1]);
const section = (heading, text) => `${heading}\n\n\`\`\`\n${text}\n\`\`\`\n`;
const sections = commands.flatMap((command) => {
  const text = help(command);
  const [, list = ''] = text.split('\nCommands:');
  const subcommands = namesIn(list).map((name) =>
    section(`### calyx ${command} ${name}`, help(command, name)),
  );
  return [section(`## calyx ${command}`, text), ...subcommands];
});

process.stdout.write(`# Commands

In a checkout, \`npx calyx\` runs them. Results go to stdout, everything else to stderr; progress bars appear only on a terminal.
With \`--json\` stdout is JSON; errors are told on stderr in any case. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 after Ctrl-C, 141 when nobody reads
stdout on, 143 after SIGTERM; servers end with 0
after both. Sizes are bytes, or numbers with a unit: \`500MB\` (decimal), \`64GiB\` or \`64G\` (binary).

| variable | meaning |
| --- | --- |
| \`CALYX_STORE\` | addresses of stores, separated by commas, or a join string (see [security.md](security.md)) |
| \`CALYX_DATA\` | the store's data directory |
| \`CALYX_NODE_DATA\` | the node's directory |
| \`CALYX_LISTEN\`, \`CALYX_NODE_LISTEN\` | where a store, a node listens |
| \`CALYX_NFS\` | where a store serves NFS |
| \`XDG_CONFIG_HOME\` | \`calyx/cluster.json\` in it is the cluster that was joined (default: \`~/.config\`) |
| \`CALYX_LOG_LEVEL\` | trace, debug, info, warn (the default), error, fatal, silent |
| \`NO_COLOR\` | no colours |

\`\`\`
${overview}
\`\`\`

${sections.join('\n')}`);
