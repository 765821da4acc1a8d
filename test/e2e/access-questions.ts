import { randomUUID } from 'node:crypto';
import { createCertificateRequest } from '../../src/cluster/identity/certificate-request.js';
import { encodeTensorMessage, TENSOR_MEDIA_TYPE } from '../../src/inference/tensor-message.js';
import { ask, type Question, type RealCluster } from '../support/real-cluster.js';
import type { Comer, Secrets } from './access-comers.js';

/** The model of the table. */
export const MODEL = 'acme/tiny';

/** What is asked at a door of the table, and what the audit log calls that. */
export interface Asked extends Question {
  readonly route?: string;
  /** How the second line is called that management leaves, if it is reached. */
  readonly manages?: string;
}

/** What the names of doors leave open. */
export interface Places {
  readonly cluster: RealCluster;
  readonly openUrl: string;
  readonly secrets: Secrets;
  readonly revision: string;
  /** SHA-256 of a manifest and of a blob of the model. */
  readonly manifest: string;
  readonly blob: string;
  /** A token of a pattern that shows the model, and nothing of another. */
  readonly victimId: string;
  /** A session that is open on the node for the right comer of each role. */
  readonly session: string;
  /** The token of the right comer of a role. */
  readonly rightToken: (role: string) => string | undefined;
}

/** The request for a door, with all that must be there before it. */
export async function questionFor(door: string, { column, token }: Comer, places: Places): Promise<Asked> {
  const [, method = '', named = ''] = /^(?:\w+: )?(\w+) ([^ ,]+)/.exec(door) ?? [];
  const just = { method, path: named };
  const id = randomUUID();
  const anyNode = { method, path: `/v1/nodes/${id}`, route: '/v1/nodes/:id' };
  const register = (by: string | undefined): Promise<unknown> => {
    const put = { method: 'PUT', path: anyNode.path, body: nodeRecord(id, places), token: by };
    return column.startsWith('open') ? ask(places.openUrl, {}, put) : places.cluster.ask(put);
  };
  switch (door.replace(/^node: /, '')) {
    case 'POST /v1/certificates': {
      const { key, request } = await createCertificateRequest();
      places.secrets.key(key);
      return { ...just, body: { request }, manages: 'certificate' };
    }
    case 'GET /v1/models/acme/tiny/revisions/main':
      return { ...just, route: '/v1/models/:org/:name/revisions/:revision' };
    case 'POST /api/models/acme/tiny/paths-info/main': {
      const route = '/api/models/:org/:name/paths-info/:revision';
      return { ...just, body: { paths: ['config.json'] }, route };
    }
    case 'GET /v1/manifests/SHA256':
      return { ...just, path: `/v1/manifests/${places.manifest}`, route: '/v1/manifests/:digest' };
    case 'GET /v1/blobs/SHA256':
      return { ...just, path: `/v1/blobs/${places.blob}`, route: '/v1/blobs/:digest' };
    case 'GET /v1/nodes':
      // One for the open store to show; the other shows the node that runs.
      if (column === 'open') await register(undefined);
      return just;
    case 'PUT /v1/nodes/ID':
      return { ...anyNode, body: nodeRecord(id, places) };
    case 'DELETE /v1/nodes/ID, its own':
      if (['open', 'node', 'admin'].includes(column)) await register(token);
      return anyNode;
    case 'DELETE /v1/nodes/ID, of another token':
      // Just now, because the registry forgets those that fall silent.
      await register(places.rightToken(column === 'admin' ? 'node' : 'admin'));
      return anyNode;
    case 'POST /v1/tokens':
      return { ...just, body: { name: 'made', role: 'read', models: MODEL }, manages: 'token create' };
    case 'DELETE /v1/tokens/ID': {
      const path = `/v1/tokens/${places.victimId}`;
      return { ...just, path, route: '/v1/tokens/:id', manages: 'token revoke' };
    }
    case 'GET /v1/models/acme/tiny/revisions':
      return { ...just, route: '/v1/models/:org/:name/revisions' };
    case 'PUT /v1/models/acme/tiny/refs/main':
      // It names that already, so that nothing moves under the others.
      return { ...just, route: '/v1/models/:org/:name/refs/:called', body: { revision: places.revision }, manages: 'rollback' }; // prettier-ignore
    case 'PUT /v1/models/acme/tiny/pins/kept':
      return { ...just, route: '/v1/models/:org/:name/pins/:called', body: { revision: places.revision }, manages: 'pin' }; // prettier-ignore
    case 'DELETE /v1/models/acme/tiny/pins/kept':
      return { ...just, route: '/v1/models/:org/:name/pins/:called', manages: 'unpin' };
    case 'POST /v1/gc':
      return { ...just, body: {}, manages: 'gc' };
    case 'DELETE /v1/models/acme/doomed':
      return { ...just, route: '/v1/models/:org/:name', manages: 'remove' };
    case 'GET /v1/nothing (there is no such route)':
      return { ...just, route: '(no such route)' };
    case 'POST /v1/stage/sessions':
      return { ...just, body: sessionRequest(randomUUID(), places) };
    case 'POST /v1/stage/sessions/ID/forward': {
      const message = { name: 'input_ids', shape: [1, 1], data: BigInt64Array.of(5n) } as const;
      const path = `/v1/stage/sessions/${places.session}/forward?position=0`;
      return { ...just, path, body: Buffer.concat(encodeTensorMessage(message)), type: TENSOR_MEDIA_TYPE };
    }
    case 'DELETE /v1/stage/sessions/ID':
      return { ...just, path: `/v1/stage/sessions/${places.session}` };
    default:
      return { ...just, ...hubRoute(named), ...(named.startsWith('/tree/') && { route: '/tree/*' }) };
  }
}

/** What the audit log calls a path of the Hub's API. */
function hubRoute(path: string): { readonly route?: string } {
  const word = path.split('/')[3] ?? '';
  if (path.startsWith('/api/models/')) {
    const below = { refs: '/refs', tree: '/tree/:revision' }[path.split('/')[5] ?? ''] ?? '';
    return { route: `/api/models/:org/:name${below}` };
  }
  return word === 'resolve' || word === 'raw' ? { route: `/:org/:name/${word}/:revision/*` } : {};
}

/** What opens a session on the node. */
export function sessionRequest(session: string, { revision }: Pick<Places, 'revision'>): unknown {
  return { session, model: MODEL, revision, max_tokens: 8 };
}

function nodeRecord(id: string, { revision }: Places): unknown {
  const blocks = { start: 0, end: 1 };
  const url = 'http://127.0.0.1:1';
  return { id, name: 'of the matrix', url, model: MODEL, revision, blocks, embed: true, head: false };
}
