import { plural } from '../../../core/units.js';
import { ok, problem, unseen, warning, type Verdict } from '../finding.js';

/** What the refs of a store are like. */
export interface RefsFacts {
  readonly models: number;
  /** `ORG/NAME@REF`: those without a signature, or not one of this cluster. Undefined if it is not known by what to judge. */
  readonly unsigned: readonly string[] | undefined;
  readonly damaged: readonly {
    readonly model: string;
    readonly why: string;
    readonly hint?: string | undefined;
    /** This user may not read them. */
    readonly denied: boolean;
  }[];
  readonly storeRuns: boolean;
}

const SHOWN = 5;

/** Whether each ref can be read and is signed. */
export function checkStoreRefs({ models, unsigned, damaged, storeRuns }: RefsFacts): Verdict[] {
  const verdicts = damaged.map(({ model, why, hint, denied }) =>
    denied
      ? unseen(`the refs of ${model}`, why)
      : problem(
          `the refs of ${model} are damaged, so it is not served: ${why}`,
          hint ?? `add it again under the same name: calyx add DIRECTORY --name ${model}`,
        ),
  );
  if (unsigned !== undefined && unsigned.length > 0) {
    const more = unsigned.length - SHOWN;
    verdicts.push(
      warning(
        `${plural(unsigned.length, 'ref')} without a signature of this cluster: ${unsigned.slice(0, SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}; machines that joined refuse them`,
        storeRuns
          ? 'start the store again, which signs them; if it signed them before, find out who changed them'
          : 'the store signs them when it starts; if it signed them before, find out who changed them',
      ),
    );
  }
  if (verdicts.length > 0) return verdicts;
  return [ok(`${plural(models, 'model')}, all refs whole${unsigned === undefined ? '' : ' and signed'}`)];
}
