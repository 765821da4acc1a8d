import { SEVERITIES, type Finding, type Severity } from '../app/doctor/finding.js';
import { printableLine } from '../core/printable.js';
import { plural } from '../core/units.js';
import { stdoutColors } from './terminal.js';

const TITLES = { machine: 'This machine', store: 'The store' } as const;
const COLORS: Readonly<Record<Severity, (text: string) => string>> = {
  ok: stdoutColors.green,
  note: stdoutColors.cyan,
  warning: stdoutColors.yellow,
  problem: stdoutColors.red,
};
const SEVERITY_WIDTH = Math.max(...SEVERITIES.map(({ length }) => length));

/** The findings for programs. */
export function toReport(findings: readonly Finding[]): unknown {
  const counts = Object.fromEntries(SEVERITIES.map((severity) => [severity, count(findings, severity)]));
  return {
    ok: count(findings, 'problem') === 0,
    counts,
    findings: findings.map(({ area, check, severity, message, wayOut }) => ({
      area,
      check,
      severity,
      message,
      wayOut: wayOut ?? null,
    })),
  };
}

/** The findings for people: a line each, and under it the way out. */
export function printFindings(findings: readonly Finding[]): void {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines: string[] = [];
  for (const area of ['machine', 'store'] as const) {
    const own = findings.filter((finding) => finding.area === area);
    if (own.length > 0) lines.push(stdoutColors.bold(TITLES[area]));
    for (const { check, severity, message, wayOut } of own) {
      const word = COLORS[severity](severity.padEnd(SEVERITY_WIDTH));
      lines.push(`  ${word}  ${check.padEnd(width)}  ${printableLine(message)}`);
      if (wayOut !== undefined)
        lines.push(`  ${' '.repeat(SEVERITY_WIDTH + width + 2)}  -> ${printableLine(wayOut)}`);
    }
  }
  lines.push(summary(findings));
  process.stdout.write(`${lines.join('\n')}\n`);
}

function summary(findings: readonly Finding[]): string {
  const bad = (['problem', 'warning'] as const).flatMap((severity) => {
    const found = count(findings, severity);
    return found === 0 ? [] : [COLORS[severity](plural(found, severity))];
  });
  return bad.length === 0 ? stdoutColors.green('no problem found') : bad.join(', ');
}

function count(findings: readonly Finding[], severity: Severity): number {
  return findings.filter((finding) => finding.severity === severity).length;
}
