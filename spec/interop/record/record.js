// Records the fixtures of the TypeScript SDK: node record.js ADDRESS FOLDER, with @temporalio/worker and
// @temporalio/client on NODE_PATH, against `temporal-lua server start-dev --search-attribute Note=Keyword`.
const fs = require('fs');
const path = require('path');
const { setTimeout: pause } = require('timers/promises');
const { NativeConnection, Worker } = require('@temporalio/worker');
const { Client, Connection } = require('@temporalio/client');
const { ApplicationFailure, Context } = require('@temporalio/activity');
const { temporal } = require('@temporalio/proto');

let calls = 0;
const activities = {
  echo: async (...values) => values[0],
  unstable: async () => { if (++calls % 2) throw new Error('not yet'); return calls; },
  decline: async () => { throw ApplicationFailure.nonRetryable('no', 'No'); },
  sleepy: async () => { for (;;) { Context.current().heartbeat(); await Context.current().sleep(50); } },
};

async function main(address, folder) {
  const client = new Client({ connection: await Connection.connect({ address }) });
  const worker = await Worker.create({
    connection: await NativeConnection.connect({ address }), taskQueue: 'record', activities,
    workflowsPath: path.join(__dirname, 'workflows.js'),
  });
  const running = worker.run();
  const start = (type, ...args) => client.workflow.start(type, {
    taskQueue: 'record', workflowId: type.toLowerCase(), args, workflowTaskTimeout: '10s' });
  const keep = async (handle, name, runId) => {
    const history = await client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
    const plain = temporal.api.history.v1.History.toObject(history, { enums: String, longs: String, bytes: String });
    const text = JSON.stringify(plain, (key, value) => {
      if (key === 'identity' || key === 'stackTrace') return 'recorder'; // nothing of this machine
      return typeof value === 'string' && value.includes('@') ? value.replace(/\S*@\S*/, 'sticky') : value;
    }, 1);
    fs.writeFileSync(path.join(folder, name + '.json'), text + '\n');
  };
  const ended = async (handle) => { try { await handle.result(); } catch (err) { /* as it may */ } };

  let handle = await start('Primitives', 'ann');
  await pause(4000);
  await handle.signal('go');
  await ended(handle);
  await keep(handle, 'primitives');
  const target = await client.workflow.start('Child', {
    taskQueue: 'record', workflowId: 'parent-target', args: ['to '] });
  handle = await start('Parent');
  await ended(handle);
  await ended(target);
  await keep(handle, 'parent');
  await keep(target, 'child');
  handle = await start('Chain', 1);
  await ended(handle);
  await keep(handle, 'chain_first', handle.firstExecutionRunId);
  handle = await start('Cancelled');
  await pause(500);
  await handle.cancel();
  await ended(handle);
  await keep(handle, 'cancelled');
  handle = await start('Failed');
  await ended(handle);
  await keep(handle, 'failed');
  handle = await start('Updated');
  await handle.executeUpdate('add', { args: [2] });
  await handle.executeUpdate('add', { args: [-2] }).catch(() => {});
  await handle.executeUpdate('add', { args: [3] });
  await handle.signal('go');
  await ended(handle);
  await keep(handle, 'updated');
  worker.shutdown();
  await running;
}

main(process.argv[2], process.argv[3]).then(() => process.exit(0), (err) => { console.error(err); process.exit(1); });
