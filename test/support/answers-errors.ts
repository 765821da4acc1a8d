import type { FastifyInstance } from 'fastify';
import { toWireError } from '../../src/core/wire-error.js';

/** Lets a bare server answer errors as those of stores and nodes do. */
export function answersErrors<Server extends FastifyInstance>(server: Server): Server {
  server.setErrorHandler((error, _request, reply) => {
    const { status, body } = toWireError(error);
    return reply.status(status).send(body);
  });
  return server;
}
