import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { refuseReservedName } from './reserved-names.js';

describe('names of new models', () => {
  it.each(['api/tiny', 'tree/models', 'v1/tiny', 'v2/tiny', 'acme/raw', 'acme/resolve'])(
    'may not be %s',
    async (text) => {
      const [org = '', name = ''] = text.split('/');
      await expectError(() => refuseReservedName({ org, name }), 'usage', /paths of that name/, 'are taken');
    },
  );

  it.each(['acme/tiny', 'v3/api', 'models/tree', 'resolve/v1', 'API/RAW'])('may be %s', (text) => {
    const [org = '', name = ''] = text.split('/');
    expect(() => refuseReservedName({ org, name })).not.toThrow();
  });
});
