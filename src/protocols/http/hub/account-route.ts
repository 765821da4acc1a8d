import type { FastifyInstance } from 'fastify';
import { READ } from './hub-content.js';

/** `/api/whoami-v2`: whose token it is. For the Hub's clients each may read and none may write. */
export function accountRoute(server: FastifyInstance): void {
  server.get('/api/whoami-v2', READ, ({ grant: { tokenId, name, role, models } }) => ({
    type: 'user',
    id: tokenId ?? name,
    name,
    fullname: `${name} (role ${role}, models ${models})`,
    isPro: false,
    orgs: [],
    auth: { type: 'access_token', accessToken: { displayName: name, role: 'read' } },
  }));
}
