import { bytes, field, float, int64, message, repeated, string, type Message } from './wire.js';

/**
 * The messages of the ONNX format that a decoder graph needs. Each field is declared once, here.
 * Source: onnx.proto (IR version 8)
 */

/** `TensorProto.DataType` */
export const ElementType = { float32: 1, int32: 6, int64: 7, float16: 10, bfloat16: 16 } as const;
export type ElementType = (typeof ElementType)[keyof typeof ElementType];

/** `AttributeProto.AttributeType` */
export const AttributeType = { float: 1, int: 2, ints: 7 } as const;

/** `TensorProto.DataLocation`: the bytes lie in another file. */
export const EXTERNAL = 1;

const StringStringEntry = message({ key: field(1, string), value: field(2, string) });

export const TensorProto = message({
  dims: field(1, repeated(int64)),
  dataType: field(2, int64),
  name: field(8, string),
  rawData: field(9, bytes),
  externalData: field(13, repeated(StringStringEntry)),
  dataLocation: field(14, int64),
});

export const AttributeProto = message({
  name: field(1, string),
  f: field(2, float),
  i: field(3, int64),
  ints: field(8, repeated(int64)),
  type: field(20, int64),
});

export const NodeProto = message({
  input: field(1, repeated(string)),
  output: field(2, repeated(string)),
  name: field(3, string),
  opType: field(4, string),
  attribute: field(5, repeated(AttributeProto)),
  domain: field(7, string),
});

const Dimension = message({ value: field(1, int64), param: field(2, string) });
const TensorShape = message({ dim: field(1, repeated(Dimension)) });
const TensorType = message({ elemType: field(1, int64), shape: field(2, TensorShape) });
const TypeProto = message({ tensorType: field(1, TensorType) });

export const ValueInfoProto = message({ name: field(1, string), type: field(2, TypeProto) });

const GraphProto = message({
  node: field(1, repeated(NodeProto)),
  name: field(2, string),
  initializer: field(5, repeated(TensorProto)),
  input: field(11, repeated(ValueInfoProto)),
  output: field(12, repeated(ValueInfoProto)),
});

const OperatorSetId = message({ domain: field(1, string), version: field(2, int64) });

export const ModelProto = message({
  irVersion: field(1, int64),
  producerName: field(2, string),
  graph: field(7, GraphProto),
  opsetImport: field(8, repeated(OperatorSetId)),
});

/** The value type of a message. */
export type ValueOf<M> = M extends Message<infer T> ? T : never;
