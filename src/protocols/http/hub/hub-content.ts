import type { Grant } from '../../../core/access.js';
import type { SendFileOptions } from '../send-file.js';
import type { HubView } from './repository.js';

/** What the routes of the Hub's API serve. */
export interface HubContent extends SendFileOptions {
  /** What a grant shows; asked for each request. */
  view(grant: Grant): HubView;
  /** Called when a request failed by no fault of who asked. */
  readonly onFailed: (url: string, error: unknown, reference: string | undefined) => void;
}

export const READ = { config: { access: 'read' } } as const;

export interface RepositoryParams {
  readonly org: string;
  readonly name: string;
}

export type RevisionParams = RepositoryParams & { readonly revision: string };
