import { describe, expect, it } from 'vitest';
import { NodeRegistry, type NodeRecord } from './node-registry.js';

function node(id: string, model = 'org/name'): NodeRecord {
  return {
    id,
    name: id,
    url: 'http://127.0.0.1:1',
    model,
    revision: '0'.repeat(40),
    blocks: { start: 0, end: 1 },
    embed: false,
    head: false,
  };
}

function registry(maxNodes?: number) {
  const clock = { time: 1000, now: () => clock.time, sleep: () => Promise.reject(new Error('not used')) };
  const nodes = new NodeRegistry({ lifetimeMs: 100, clock, ...(maxNodes === undefined ? {} : { maxNodes }) });
  const ids = (model?: string) => nodes.list(model).map(({ id }) => id);
  return { clock, nodes, ids };
}

describe('NodeRegistry', () => {
  it('forgets who falls silent, not who keeps telling', () => {
    const { clock, nodes, ids } = registry();
    nodes.put(node('a'));
    clock.time += 60;
    nodes.put(node('b'));
    clock.time += 40;
    expect(ids()).toEqual(['a', 'b']);
    clock.time += 1;
    expect(ids()).toEqual(['b']);
    nodes.put(node('b'));
    clock.time += 100;
    expect(ids()).toEqual(['b']);
    clock.time += 1;
    expect(ids()).toEqual([]);
  });

  it('keeps the newest record of a node, in its old place', () => {
    const { nodes, ids } = registry();
    nodes.put(node('a'));
    nodes.put(node('b'));
    nodes.put({ ...node('a'), blocks: { start: 4, end: 8 } });
    expect(ids()).toEqual(['a', 'b']);
    expect(nodes.list()[0]?.blocks).toEqual({ start: 4, end: 8 });
  });

  it('lists by model and forgets who leaves', () => {
    const { nodes, ids } = registry();
    nodes.put(node('a'));
    nodes.put(node('b', 'org/other'));
    expect(ids('org/other')).toEqual(['b']);
    nodes.remove('b');
    nodes.remove('never-there');
    expect(ids('org/other')).toEqual([]);
    expect(ids()).toEqual(['a']);
  });

  it('has a bound; the silent make room, and who is known may go on', () => {
    const { clock, nodes, ids } = registry(2);
    nodes.put(node('a'));
    clock.time += 60;
    nodes.put(node('b'));
    expect(() => nodes.put(node('c'))).toThrow(expect.objectContaining({ code: 'unavailable' }) as Error);
    nodes.put(node('b'));
    clock.time += 41;
    nodes.put(node('c'));
    expect(ids()).toEqual(['b', 'c']);
  });

  it('has a bound for each token, so that none takes the places of the others', () => {
    const clock = { time: 0, now: () => clock.time, sleep: () => Promise.reject(new Error('not used')) };
    const nodes = new NodeRegistry({ lifetimeMs: 100, maxNodes: 5, maxNodesPerToken: 2, clock });
    for (const id of ['a', 'b']) nodes.put(node(id), 'greedy');
    expect(() => nodes.put(node('c'), 'greedy')).toThrow(
      expect.objectContaining({
        code: 'over-budget',
        message: 'there are 2 nodes of the token greedy already, its limit',
        hint: 'give nodes tokens of their own: calyx token create --role node',
      }) as Error,
    );
    // Who has a place keeps it, and others find theirs.
    nodes.put(node('b'), 'greedy');
    nodes.put(node('d'), 'other');
    nodes.remove('a', 'greedy');
    nodes.put(node('c'), 'greedy');
    clock.time = 101;
    for (const id of ['e', 'f']) nodes.put(node(id), 'greedy');
    // Where nobody is asked for a token, all are of the same nobody.
    for (const id of ['g', 'h', 'i']) nodes.put(node(id));
    expect(nodes.list()).toHaveLength(5);
  });
});
