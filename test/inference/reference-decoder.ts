/* eslint-disable @typescript-eslint/no-non-null-assertion -- loops over known sizes; a wrong index fails the test anyway */
/**
 * A slow decoder in plain float64, written from the formulas and without a cache, to check the engine where there is no
 * golden output. It is itself checked against the goldens. Weights are given as numbers, already widened.
 */

/** The settings that matter, spelled out anew so that a mistake in the engine's own parser cannot hide here. */
export interface ReferenceModel {
  blockCount: number;
  hidden: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  eps: number;
  inverseFrequencies: number[];
  windows: (number | null)[];
  headName: string;
  weights: ReadonlyMap<string, Vector>;
}

/** Hidden states: one row per position. */
export type Rows = Vector[];
type Vector = Float64Array<ArrayBuffer>;

export interface ReferenceResult {
  /** After the embedding and after each block; the last one after the final norm as transformers lists them. */
  boundaries: Rows[];
  /** Of the last position. */
  logits: Vector;
}

export function runReference(model: ReferenceModel, tokens: readonly number[]): ReferenceResult {
  const table = weight(model, 'model.embed_tokens.weight');
  let rows = tokens.map((id) => table.slice(id * model.hidden, (id + 1) * model.hidden));
  const boundaries: Rows[] = [rows];
  for (let block = 0; block < model.blockCount; block += 1) {
    rows = runBlock(model, block, rows);
    boundaries.push(rows);
  }
  const normed = rows.map((row) => rmsNorm(row, weight(model, 'model.norm.weight'), model.eps));
  boundaries[model.blockCount] = normed;
  return { boundaries, logits: linear(model, normed.at(-1)!, model.headName) };
}

function runBlock(model: ReferenceModel, block: number, rows: Rows): Rows {
  const prefix = `model.layers.${block}.`;
  const norm1 = weight(model, `${prefix}input_layernorm.weight`);
  const norm2 = weight(model, `${prefix}post_attention_layernorm.weight`);
  const attended = attention(
    model,
    block,
    rows.map((row) => rmsNorm(row, norm1, model.eps)),
  );
  return rows.map((row, position) => {
    const middle = add(row, attended[position]!);
    const x = rmsNorm(middle, norm2, model.eps);
    const gate = linear(model, x, `${prefix}mlp.gate_proj`);
    const up = linear(model, x, `${prefix}mlp.up_proj`);
    const inner = gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!);
    return add(middle, linear(model, inner, `${prefix}mlp.down_proj`));
  });
}

function attention(model: ReferenceModel, block: number, rows: Rows): Rows {
  const prefix = `model.layers.${block}.self_attn.`;
  const { headDim, heads, kvHeads } = model;
  const project = (row: Vector, name: string, count: number, position: number): Vector[] => {
    const flat = linear(model, row, `${prefix}${name}_proj`);
    return Array.from({ length: count }, (_, head) => {
      let part = flat.slice(head * headDim, (head + 1) * headDim);
      const norm = model.weights.get(`${prefix}${name}_norm.weight`);
      if (norm !== undefined) part = rmsNorm(part, norm, model.eps);
      return name === 'v' ? part : rotate(part, position, model.inverseFrequencies);
    });
  };
  const q = rows.map((row, position) => project(row, 'q', heads, position));
  const k = rows.map((row, position) => project(row, 'k', kvHeads, position));
  const v = rows.map((row, position) => project(row, 'v', kvHeads, position));
  const window = model.windows[block] ?? null;
  return rows.map((_, at) => {
    const joined = new Float64Array(heads * headDim);
    for (let head = 0; head < heads; head += 1) {
      const group = Math.floor(head / (heads / kvHeads));
      const visible = rows
        .map((_row, key) => key)
        .filter((key) => key <= at && (window === null || at - key < window));
      const scores = visible.map((key) => dot(q[at]![head]!, k[key]![group]!) / Math.sqrt(headDim));
      const top = Math.max(...scores);
      const exponents = scores.map((score) => Math.exp(score - top));
      const sum = exponents.reduce((total, e) => total + e, 0);
      visible.forEach((key, i) => {
        const share = exponents[i]! / sum;
        for (let d = 0; d < headDim; d += 1) joined[head * headDim + d]! += share * v[key]![group]![d]!;
      });
    }
    return linear(model, joined, `${prefix}o_proj`);
  });
}

/** Rotates the pairs (i, i + headDim / 2), as Hugging Face checkpoints lay them out. */
function rotate(x: Vector, position: number, frequencies: readonly number[]): Vector {
  const half = frequencies.length;
  const result = new Float64Array(x.length);
  frequencies.forEach((frequency, i) => {
    const angle = position * frequency;
    result[i] = x[i]! * Math.cos(angle) - x[i + half]! * Math.sin(angle);
    result[i + half] = x[i + half]! * Math.cos(angle) + x[i]! * Math.sin(angle);
  });
  return result;
}

function rmsNorm(x: Vector, scale: Vector, eps: number): Vector {
  const root = Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => (value / root) * scale[i]!);
}

function linear(model: ReferenceModel, x: Vector, name: string): Vector {
  const matrix = model.weights.get(`${name}.weight`) ?? weight(model, name);
  const bias = model.weights.get(`${name}.bias`);
  const result = new Float64Array(matrix.length / x.length);
  for (let row = 0; row < result.length; row += 1)
    result[row] = dot(matrix.subarray(row * x.length, (row + 1) * x.length), x) + (bias?.[row] ?? 0);
  return result;
}

function weight(model: ReferenceModel, name: string): Vector {
  const found = model.weights.get(name);
  if (found === undefined) throw new Error(`the reference model lacks ${name}`);
  return found;
}

function add(a: Vector, b: Vector): Vector {
  return a.map((value, i) => value + b[i]!);
}

function dot(a: Vector, b: Vector): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i]! * b[i]!;
  return sum;
}
