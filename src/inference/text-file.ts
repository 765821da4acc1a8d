import { CalyxError, errorMessage } from '../core/errors.js';

/** A file of a model as it was read: its name for errors, and its content. */
export interface TextFile {
  readonly name: string;
  readonly text: string;
}

/**
 * Parses a stranger's JSON file.
 *
 * @param maxChars longer files are refused before they are parsed
 * @throws CalyxError `invalid-model` naming the file
 */
export function parseJsonFile({ name, text }: TextFile, maxChars: number): Record<string, unknown> {
  if (text.length > maxChars)
    throw new CalyxError(
      'invalid-model',
      `${name} has ${text.length} characters; at most ${maxChars} are read`,
    );
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new CalyxError('invalid-model', `${name} is not JSON: ${errorMessage(error)}`, { cause: error });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new CalyxError('invalid-model', `${name} is not a JSON object`);
  return json as Record<string, unknown>;
}
