import type { Grant } from '../../../core/access.js';
import type { FailureLog } from '../failure-log.js';
import type { SendFileOptions } from '../send-file.js';
import type { HubView } from './repository.js';

/** What the routes of the Hub's API serve. */
export interface HubContent extends SendFileOptions {
  /** What a grant shows; asked for each request. */
  view(grant: Grant): HubView;
  /** Is told of each request that failed by no fault of who asked. */
  readonly failures: FailureLog;
}

export const READ = { config: { access: 'read' } } as const;

export interface RepositoryParams {
  readonly org: string;
  readonly name: string;
}

export type RevisionParams = RepositoryParams & { readonly revision: string };
