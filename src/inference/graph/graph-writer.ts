import type { TensorLocation } from '../../weights/tensor.js';
import {
  AttributeType,
  ElementType,
  EXTERNAL,
  ModelProto,
  type AttributeProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
  type ValueOf,
} from './onnx-schema.js';

/** Operators of onnxruntime's own, beside the standard ones. */
export const MICROSOFT = 'com.microsoft';

/** IR version 8 and operator set 18 are what onnxruntime-node 1.30 was proven with. */
const IR_VERSION = 8;
const OPERATOR_SET = 18;
const MICROSOFT_OPERATOR_SET = 1;

/** An attribute: integers are written as INT unless wrapped as `{ float }`. */
export type Attribute = number | readonly number[] | { readonly float: number };

/** The name of a value (an edge) in the graph. */
export type Value = string;

/** Settings of {@link GraphWriter.node}. */
export interface NodeSettings {
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Names of the outputs. @default one generated name */
  readonly outputs?: readonly string[];
}

/** Collects the nodes, constants and edges of one ONNX graph. */
export class GraphWriter {
  readonly #nodes: ValueOf<typeof NodeProto>[] = [];
  readonly #initializers: ValueOf<typeof TensorProto>[] = [];
  readonly #inputs: ValueOf<typeof ValueInfoProto>[] = [];
  readonly #outputs: ValueOf<typeof ValueInfoProto>[] = [];
  readonly #known = new Set<string>();

  /** Adds a node and returns the name of its first output. An empty input name leaves an optional input out. */
  node(opType: string, inputs: readonly Value[], settings: NodeSettings = {}): Value {
    const name = `${opType}_${this.#nodes.length}`;
    const output = settings.outputs ?? [name];
    this.#nodes.push({
      input: inputs,
      output,
      name,
      opType,
      attribute: Object.entries(settings.attributes ?? {}).map(([key, value]) => attribute(key, value)),
      domain: settings.domain ?? '',
    });
    return output[0] ?? name;
  }

  /** A weight that stays in its file: the graph holds only where it lies. Adding the same one twice is harmless. */
  external(tensor: TensorLocation, elementType: ElementType): Value {
    if (!this.#known.has(tensor.name)) {
      this.#known.add(tensor.name);
      this.#initializers.push({
        dims: tensor.shape,
        dataType: elementType,
        name: tensor.name,
        externalData: [
          { key: 'location', value: tensor.file },
          { key: 'offset', value: String(tensor.offset) },
          { key: 'length', value: String(tensor.length) },
        ],
        dataLocation: EXTERNAL,
      });
    }
    return tensor.name;
  }

  /** A small constant of 64-bit integers inside the graph; without `dims` a scalar. */
  integers(name: string, values: readonly number[], dims: readonly number[] = []): Value {
    if (!this.#known.has(name)) {
      this.#known.add(name);
      const data = new DataView(new ArrayBuffer(values.length * 8));
      values.forEach((value, index) => data.setBigInt64(index * 8, BigInt(value), true));
      this.#initializers.push({
        dims,
        dataType: ElementType.int64,
        name,
        rawData: new Uint8Array(data.buffer),
      });
    }
    return name;
  }

  /** Declares an input; a dimension is a number, or a name if it varies. */
  input(name: string, elementType: ElementType, dims: readonly (number | string)[]): Value {
    this.#inputs.push(valueInfo(name, elementType, dims));
    return name;
  }

  /** Declares an output. */
  output(name: string, elementType: ElementType, dims: readonly (number | string)[]): void {
    this.#outputs.push(valueInfo(name, elementType, dims));
  }

  /** The graph as a serialised `ModelProto`. */
  finish(): Uint8Array<ArrayBuffer> {
    return ModelProto.encode({
      irVersion: IR_VERSION,
      producerName: 'calyx',
      graph: {
        node: this.#nodes,
        name: 'blocks',
        initializer: this.#initializers,
        input: this.#inputs,
        output: this.#outputs,
      },
      opsetImport: [
        { domain: '', version: OPERATOR_SET },
        { domain: MICROSOFT, version: MICROSOFT_OPERATOR_SET },
      ],
    });
  }
}

function attribute(name: string, value: Attribute): ValueOf<typeof AttributeProto> {
  if (typeof value === 'number') return { name, i: value, type: AttributeType.int };
  if ('float' in value) return { name, f: value.float, type: AttributeType.float };
  return { name, ints: value, type: AttributeType.ints };
}

function valueInfo(
  name: string,
  elemType: ElementType,
  dims: readonly (number | string)[],
): ValueOf<typeof ValueInfoProto> {
  const dim = dims.map((size) => (typeof size === 'number' ? { value: size } : { param: size }));
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}
