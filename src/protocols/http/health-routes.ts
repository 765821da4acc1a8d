import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';

/** `/healthz` for whoever restarts us, whom nobody asks for a token, `/metrics` for Prometheus (text format 0.0.4). */
export function healthRoutes(server: FastifyInstance, metrics: Registry): void {
  server.get('/healthz', { config: { access: 'open' } }, () => ({ status: 'ok' }));
  server.get('/metrics', { config: { access: 'read' } }, async (_request, reply) => {
    void reply.header('content-type', metrics.contentType);
    return metrics.metrics();
  });
}
