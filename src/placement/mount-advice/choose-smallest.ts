import { NOISE } from './choose-version.js';

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
