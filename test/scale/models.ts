import { fileURLToPath } from 'node:url';

// Compiled tests run from dist/test/scale.
const path = (relative: string): string => fileURLToPath(new URL(`../../../${relative}`, import.meta.url));

/** The bundled model and the fixtures, by name. */
export const MODELS = {
  'tiny-calyx': path('models/tiny-calyx'),
  'llama3-rope': path('test/fixtures/models/llama3-rope'),
  'mistral-f32': path('test/fixtures/models/mistral-f32'),
  'qwen2-tied': path('test/fixtures/models/qwen2-tied'),
  qwen3: path('test/fixtures/models/qwen3'),
} as const;
