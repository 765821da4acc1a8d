import type { ModelName } from '../core/names.js';
import type { Manifest } from './manifest.js';

/** The port through which the content of models takes its place in a data directory: as plain files, or as chunks. */
export interface ContentKeeper {
  /**
   * Takes the staged content of a revision, and checks that what was not staged is there. Readers find it when this resolves.
   *
   * @throws CalyxError `corrupt` if a file is neither staged nor there
   */
  keep(model: ModelName, revision: string, manifest: Manifest): Promise<void>;
  /** After the revision was published and nothing is staged any more. */
  published(model: ModelName): Promise<void>;
}

/** Told of each blob whose file was replaced, came or went. */
export type OnBlob = (blob: string) => void | Promise<void>;
