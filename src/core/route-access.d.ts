import 'fastify';
import type { Access, Grant } from './access.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may use the route. @default 'admin' */
    access?: Access;
  }

  interface FastifyRequest {
    /** Who asks; set before any handler runs. */
    grant: Grant;
  }
}
