import { BlockList, isIP } from 'node:net';
import { CalyxError } from '../../../core/errors.js';
import { parseModelPattern, type ModelPattern } from '../../../core/model-pattern.js';
import type { ModelName } from '../../../core/names.js';

/** Addresses, and the models that they may see. */
export interface AllowRule {
  /** As it was written. */
  readonly text: string;
  matches(address: string): boolean;
  readonly models: ModelPattern;
}

/**
 * Reads `CIDR[=MODEL-PATTERN]`, such as `10.0.0.0/24`, `10.0.0.7=acme/*` or `fd00::/8`.
 *
 * @throws CalyxError `usage`
 */
export function parseAllowRule(text: string): AllowRule {
  const [range = '', pattern, ...rest] = text.split('=');
  const [address = '', prefix, ...more] = range.split('/');
  const family = isIP(address);
  const bits = family === 6 ? 128 : 32;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN;
  if (family === 0 || !(length <= bits) || more.length > 0 || rest.length > 0)
    throw new CalyxError('usage', `--allow '${text.slice(0, 200)}' names no addresses`, {
      hint: "write CIDR or CIDR=MODEL-PATTERN, such as 10.0.0.0/24 or '10.0.0.7=acme/*'",
    });
  const list = new BlockList();
  list.addSubnet(address, length, family === 6 ? 'ipv6' : 'ipv4');
  return {
    text,
    matches: (peer) => list.check(peer, isIP(peer) === 6 ? 'ipv6' : 'ipv4'),
    models: parseModelPattern(pattern ?? '*'),
  };
}

/** Without rules, this machine alone may mount; who may connect at all is decided by where the store listens. */
export const LOOPBACK_RULES: readonly AllowRule[] = ['127.0.0.0/8', '::1'].map(parseAllowRule);

/** Everything; for whom something else has said who it is. */
export const ALL_VISIBLE: Visible = { key: '', models: () => true };

/** What one address may see. */
export interface Visible {
  /** Names the set of rules; addresses with the same see the same. */
  readonly key: string;
  models(model: ModelName): boolean;
}

/** The models that an address may see: those of all rules that match it. Undefined if none does. */
export function visibleTo(address: string, rules: readonly AllowRule[]): Visible | undefined {
  const matching = rules.filter((rule) => rule.matches(address));
  if (matching.length === 0) return undefined;
  return {
    key: matching.map(({ text }) => text).join(' '),
    models: (model) => matching.some((rule) => rule.models(model)),
  };
}

/** What both a set of rules and another pattern of models show. Throws CalyxError `usage` for what is no pattern. */
export function narrowed(visible: Visible, models: string): Visible {
  if (models === '*') return visible;
  const pattern = parseModelPattern(models);
  // Neither rules nor patterns have line breaks.
  return { key: `${visible.key}\n${models}`, models: (model) => visible.models(model) && pattern(model) };
}
