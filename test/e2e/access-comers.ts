import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROLES, type Role } from '../../src/core/access.js';
import {
  ask,
  certificateFrom,
  clusterOf,
  holderOf,
  secretOf,
  wrongSecret,
  type Holder,
  type Question,
  type RealCluster,
  type Told,
} from '../support/real-cluster.js';
import { grantOf, SmallPki, type Pair } from '../support/small-pki.js';

/** Somebody who comes to a door: a column of the table, or one of the three roles that share it. */
export interface Comer {
  readonly column: string;
  readonly role: Role | undefined;
  readonly token: string | undefined;
  readonly pair: Pair | undefined;
  /** Whose name the audit log must say, also if the token is over; undefined if nobody can know, as who does not know its secret. */
  readonly holder: Holder | undefined;
}

/** What nobody may see anywhere. */
export class Secrets {
  readonly all = new Set<string>();

  token(holder: Holder): Holder {
    this.all.add(secretOf(holder.text));
    return holder;
  }

  /** A key, PEM. */
  key(pem: string): void {
    // A line in its middle is as good as the whole.
    for (const line of pem.split('\n').slice(1, -2)) this.all.add(line);
  }

  isIn(text: string): boolean {
    return [...this.all].some((secret) => text.includes(secret));
  }
}

/** Makes everybody who comes, with tokens and certificates; {@link allAreOver} says when those that are to be over are. */
export async function makeComers(
  cluster: RealCluster,
  open: { readonly url: string; readonly data: string },
  secrets: Secrets,
): Promise<Comer[]> {
  const local = readFileSync(join(clusterOf(open.data), 'local-token'), 'utf8').trim();
  const owner = secrets.token(holderOf(local, 'local', 'admin'));
  const atOpen = (question: Question): Promise<Told> => ask(open.url, {}, question);
  const foreigner = async (role: Role): Promise<Holder> => {
    const body = { name: role, role, models: '*' };
    const told = await atOpen({ method: 'POST', path: '/v1/tokens', token: owner.text, body });
    return holderOf((JSON.parse(told.body) as { token: string }).token, role, role);
  };
  const pki = await SmallPki.make();
  const nobody = { role: undefined, token: undefined, pair: undefined, holder: undefined };
  const made: Comer[] = [
    { ...nobody, column: 'nothing' },
    { ...nobody, column: 'open' },
    // To the open store, every token of the other one is wrong.
    { ...nobody, column: 'open, wrong', token: cluster.local.text },
  ];
  for (const role of ROLES) {
    const add = (column: string, holder: Holder, pair: Pair, known = false): void => {
      const { text: token } = secrets.token(holder);
      secrets.key(pair.key);
      made.push({ column, role, token, pair, holder: known ? holder : undefined });
    };
    const right = await cluster.token(role, { name: `the ${role}` });
    add(role, right, await cluster.certificate(right), true);
    const beta = await cluster.token(role, { name: `the ${role} of beta`, models: 'beta/*' });
    add(`${role} beta`, beta, await cluster.certificate(beta), true);
    add('wrong', { ...right, text: wrongSecret(right) }, await pki.pair(grantOf(right.id, role)));
    const over = await cluster.token(role, { name: `the ${role} that was revoked` });
    add('revoked', over, await cluster.certificate(over), true);
    await cluster.revoke(over);
    const late = await cluster.token(role, { name: `the ${role} that has expired`, expiresIn: 3 });
    add('expired', late, await cluster.certificate(late), true);
    const stranger = await foreigner(role);
    add('foreign', stranger, await certificateFrom(atOpen, stranger.text));
  }
  return made;
}

/** Waits until the store denies all tokens that are to be over: of each role one that was revoked and one that expires. */
export async function allAreOver(cluster: RealCluster): Promise<void> {
  let after = '';
  for (;;) {
    const told = await cluster.manage('GET', `/v1/access/denied${after}`);
    const { statement } = JSON.parse(told) as { statement: string };
    const list = JSON.parse(statement) as { version: number; denied: string[] };
    if (list.denied.length >= 2 * ROLES.length) return;
    after = `?after=${list.version}`;
  }
}
