import { NOISE } from './choose-version.js';
import { formatSpeed } from './measurement.js';

/** A number for a setting, and why. */
export interface SettingChoice {
  readonly value: number;
  readonly why: string;
  readonly speeds: readonly SettingSpeed[];
}

/** A setting and what it reached. */
export interface SettingSpeed {
  readonly value: number;
  readonly bytesPerSecond: number;
}

/** The smallest value whose speed is that of the fastest within the noise; undefined if there are none. */
export function chooseSmallest(speeds: readonly SettingSpeed[]): SettingSpeed | undefined {
  const fastest = Math.max(...speeds.map(({ bytesPerSecond }) => bytesPerSecond));
  return [...speeds]
    .sort((a, b) => a.value - b.value)
    .find(({ bytesPerSecond }) => bytesPerSecond >= fastest * (1 - NOISE));
}

/** The choice that speeds lead to, `why` with the figures behind it; undefined if there is nothing to compare. */
export function chooseMeasured(speeds: readonly SettingSpeed[], why: string): SettingChoice | undefined {
  const chosen = speeds.length > 1 ? chooseSmallest(speeds) : undefined;
  if (chosen === undefined) return undefined;
  const figures = speeds.map(({ value, bytesPerSecond }) => `${value}: ${formatSpeed(bytesPerSecond)}`);
  return { value: chosen.value, why: `${why} (${figures.join(', ')})`, speeds };
}
