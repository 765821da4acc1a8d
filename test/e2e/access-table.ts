/**
 * Who gets what at each door, for what is of the model acme/tiny. This table is the specification: access-matrix.test.ts asks at
 * each door as each column, and docs/security.md quotes it.
 *
 * Columns: who shows `nothing`; a token (at NFS and stages: a certificate) whose secret is `wrong` (a certificate that another issuer
 * has signed), that is `expired`, `revoked`, or of a `foreign` cluster, each for all three roles; one of the role `read`, `node` or
 * `admin` for all models; one of these roles for the models `beta/*`; and who shows nothing, or a wrong token, at an `open` store.
 *
 * Cells are the status of HTTP: 401 is `unauthenticated`, 403 `refused`, 404 `not-found`; `none` is 200, with nothing of acme/tiny in it.
 * The socket of the data directory answers with the same codes. For NFS 401 is MSG_DENIED with AUTH_TOOWEAK (RFC 5531, section 9), 404
 * NFS3ERR_NOENT (RFC 1813, section 2.6). `-`: there is no such case.
 */
export const ACCESS_TABLE = `
| door                                         | nothing | wrong | expired | revoked | foreign | read | node | admin | read beta | node beta | admin beta | open | open, wrong |
| GET /healthz                                 | 200     | 200   | 200     | 200     | 200     | 200  | 200  | 200   | 200       | 200       | 200        | 200  | 200         |
| GET /v1/whoami                               | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 200       | 200       | 200        | 200  | 401         |
| GET /v1/status                               | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 200       | 200       | 200        | 200  | 401         |
| GET /metrics                                 | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 200       | 200       | 200        | 200  | 401         |
| GET /v1/access/denied                        | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 200       | 200       | 200        | 200  | 401         |
| POST /v1/certificates                        | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 200       | 200       | 200        | 401  | 401         |
| GET /v1/models                               | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | none      | none      | none       | 200  | 401         |
| GET /v1/models/acme/tiny/revisions/main      | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /v1/manifests/SHA256                     | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /v1/blobs/SHA256                         | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /tree/models                             | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | none      | none      | none       | 200  | 401         |
| GET /tree/models/acme/tiny/config.json       | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /tree/hub/models--acme--tiny/refs/main   | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /tree/slices/acme/tiny/0-1/config.json   | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /api/models                              | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | none      | none      | none       | 200  | 401         |
| GET /api/models/acme/tiny                    | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /api/models/acme/tiny_blocks_0-1         | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /api/models/acme/tiny/refs               | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /api/models/acme/tiny/tree/main          | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| POST /api/models/acme/tiny/paths-info/main   | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /acme/tiny/resolve/main/config.json      | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /acme/tiny_blocks_0-1/raw/main/slice.json | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | 200  | 401         |
| GET /api/whoami-v2                           | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 200       | 200       | 200        | 200  | 401         |
| GET /v1/nodes                                | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | none      | none      | none       | 200  | 401         |
| PUT /v1/nodes/ID                             | 401     | 401   | 401     | 401     | 401     | 403  | 200  | 200   | 403       | 404       | 404        | 200  | 401         |
| DELETE /v1/nodes/ID, its own                 | 401     | 401   | 401     | 401     | 401     | 403  | 200  | 200   | -         | -         | -          | 200  | 401         |
| DELETE /v1/nodes/ID, of another token        | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 403   | 403       | 404       | 404        | -    | -           |
| GET /v1/tokens                               | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | none       | 401  | 401         |
| POST /v1/tokens                              | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 201   | 403       | 403       | 403        | 401  | 401         |
| DELETE /v1/tokens/ID                         | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 404        | 401  | 401         |
| GET /v1/models/acme/tiny/revisions           | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 404        | 401  | 401         |
| PUT /v1/models/acme/tiny/refs/main           | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 404        | 401  | 401         |
| PUT /v1/models/acme/tiny/pins/kept           | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 404        | 401  | 401         |
| DELETE /v1/models/acme/tiny/pins/kept        | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 404        | 401  | 401         |
| POST /v1/gc                                  | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | none       | 401  | 401         |
| DELETE /v1/models/acme/doomed                | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 404        | 401  | 401         |
| GET /v1/nothing (there is no such route)     | 401     | 401   | 401     | 401     | 401     | 404  | 404  | 404   | 404       | 404       | 404        | 404  | 404         |
| socket: token list                           | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 403        | 401  | -           |
| socket: remove                               | 401     | 401   | 401     | 401     | 401     | 403  | 403  | 200   | 403       | 403       | 403        | 401  | -           |
| node: GET /healthz                           | 200     | 200   | 200     | 200     | 200     | 200  | 200  | 200   | 200       | 200       | 200        | -    | -           |
| node: GET /metrics                           | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 200       | 200       | 200        | -    | -           |
| node: GET /v1/stage                          | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | -    | -           |
| node: POST /v1/stage/sessions                | 401     | 401   | 401     | 401     | 401     | 201  | 201  | 201   | 404       | 404       | 404        | -    | -           |
| node: POST /v1/stage/sessions/ID/forward     | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | -    | -           |
| node: DELETE /v1/stage/sessions/ID           | 401     | 401   | 401     | 401     | 401     | 204  | 204  | 204   | 404       | 404       | 404        | -    | -           |
| NFS --nfs-require-client-cert                | 401     | 401   | 401     | 401     | 401     | 200  | 200  | 200   | 404       | 404       | 404        | -    | -           |
`;

/** A line of the table: what each column gets. */
export interface DoorAnswers {
  readonly door: string;
  readonly answers: ReadonlyMap<string, string>;
}

/** The lines of the table in their order. */
export function doorAnswers(table = ACCESS_TABLE): DoorAnswers[] {
  const [head, ...lines] = table.trim().split('\n').map(cells);
  return lines.map(([door = '', ...answers]) => ({
    door,
    answers: new Map(answers.map((answer, column) => [head?.[column + 1] ?? '', answer])),
  }));
}

function cells(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}
