import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** How a value of one protobuf type is written under a field number. Source: protobuf encoding guide. */
export interface Kind<T> {
  write(writer: BinaryWriter, field: number, value: T): void;
}

/** One field of a message: its number and kind. */
export interface Field<T> {
  readonly number: number;
  readonly kind: Kind<T>;
}

/** The value that a message with these fields takes; all fields may be left out, as in proto2 `optional`. */
export type MessageValue<F> = {
  readonly [K in keyof F]?: F[K] extends Field<infer T> ? T : never;
};

/** A message type: a kind that can also be written on its own. */
export interface Message<T> extends Kind<T> {
  encode(value: T): Uint8Array<ArrayBuffer>;
}

export const int64: Kind<number> = {
  write: (writer, field, value) => void writer.tag(field, WireType.Varint).int64(value),
};
export const float: Kind<number> = {
  write: (writer, field, value) => void writer.tag(field, WireType.Bit32).float(value),
};
export const string: Kind<string> = {
  write: (writer, field, value) => void writer.tag(field, WireType.LengthDelimited).string(value),
};
export const bytes: Kind<Uint8Array> = {
  write: (writer, field, value) => void writer.tag(field, WireType.LengthDelimited).bytes(value),
};

/** Every element under its own tag (not packed), which every protobuf reader takes. */
export function repeated<T>(kind: Kind<T>): Kind<readonly T[]> {
  return {
    write(writer, field, values) {
      for (const value of values) kind.write(writer, field, value);
    },
  };
}

/** Declares a field. */
export function field<T>(number: number, kind: Kind<T>): Field<T> {
  return { number, kind };
}

/** Declares a message by its fields; the type of its values follows from them. */
export function message<F extends Readonly<Record<string, Field<never>>>>(
  fields: F,
): Message<MessageValue<F>> {
  const list = Object.entries(fields) as [string, Field<unknown>][];
  const writeFields = (writer: BinaryWriter, value: MessageValue<F>): void => {
    for (const [name, { number, kind }] of list) {
      const item: unknown = value[name];
      if (item !== undefined) kind.write(writer, number, item);
    }
  };
  return {
    write(writer, number, value) {
      writer.tag(number, WireType.LengthDelimited).fork();
      writeFields(writer, value);
      writer.join();
    },
    encode(value) {
      const writer = new BinaryWriter();
      writeFields(writer, value);
      return writer.finish();
    },
  };
}
