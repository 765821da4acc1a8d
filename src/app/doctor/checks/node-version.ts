import { ok, problem, type Verdict } from '../finding.js';

/** The oldest Node that runs Calyx (package.json, `engines`). */
const OLDEST = 20;

/** @param version as `process.versions.node` says it */
export function checkNodeVersion(version: string): Verdict[] {
  const major = Number(/^\d+/.exec(version)?.[0]);
  return major >= OLDEST
    ? [ok(`Node.js ${version}`)]
    : [
        problem(
          `Node.js ${version} is too old`,
          `install Node.js ${OLDEST} or newer, and run calyx with that`,
        ),
      ];
}
