// The workflows whose histories are fixtures, for the TypeScript SDK; record.py has the same for Python. The Lua
// workflows that must replay them are in spec/fixtures/histories/workflows.lua.
const wf = require('@temporalio/workflow');

const options = { startToCloseTimeout: '10s', retry: { initialInterval: '10ms', maximumAttempts: 3 } };
const { echo, unstable, decline } = wf.proxyActivities(options);
const { sleepy } = wf.proxyActivities({
  startToCloseTimeout: '1m', heartbeatTimeout: '1s', cancellationType: 'WAIT_CANCELLATION_COMPLETED',
});
const local = wf.proxyLocalActivities({ startToCloseTimeout: '10s', retry: { maximumAttempts: 1 } });

const go = wf.defineSignal('go');
const add = wf.defineUpdate('add');
const total = wf.defineQuery('total');

async function Primitives(name) {
  let approved = false;
  wf.setHandler(go, () => { approved = true; });
  wf.setHandler(total, () => 1);
  wf.upsertSearchAttributes({ Note: [name] });
  const first = echo('a');
  const second = echo('b');
  await Promise.all([first, second]);
  await unstable();
  try {
    await decline();
  } catch (err) { /* as expected */ }
  if (wf.patched('new')) {
    await wf.sleep('20ms');
  }
  wf.deprecatePatch('old');
  await local.echo('x');
  try {
    await local.decline();
  } catch (err) { /* as expected */ }
  wf.upsertMemo({ stage: 'waiting' });
  await wf.condition(() => approved, '1h');
  const timer = wf.sleep('50ms');
  const last = echo('c');
  await Promise.race([timer, last]);
  await timer;
  return await last;
}

async function Child(text) {
  let got;
  wf.setHandler(go, (value) => { got = value; });
  await wf.condition(() => got !== undefined);
  return text + got;
}

async function Parent() {
  const id = wf.workflowInfo().workflowId;
  const child = await wf.startChild('Child', { workflowId: id + '-child', args: ['hello '] });
  await child.signal(go, 'world');
  await child.result();
  try {
    await wf.CancellationScope.cancellable(async () => {
      const other = await wf.startChild('Child', { workflowId: id + '-other', args: [''] });
      wf.CancellationScope.current().cancel();
      await other.result();
    });
  } catch (err) { /* cancelled */ }
  try {
    await wf.getExternalWorkflowHandle('nobody').signal(go, 1);
  } catch (err) { /* there is none */ }
  const target = wf.getExternalWorkflowHandle(id + '-target');
  await target.signal(go, 'you');
  return 'done';
}

async function Chain(n) {
  await wf.sleep('10ms');
  if (n > 0) {
    await wf.continueAsNew(n - 1);
  }
  return n;
}

async function Cancelled() {
  try {
    await Promise.all([sleepy(), wf.sleep('1h')]);
  } finally {
    await wf.CancellationScope.nonCancellable(() => echo('clean up'));
  }
}

async function Failed() {
  await wf.sleep('10ms');
  throw wf.ApplicationFailure.nonRetryable('no funds', 'Bad', 1, 2);
}

async function Updated() {
  let sum = 0;
  let finished = false;
  wf.setHandler(add, async (n) => {
    await echo(n);
    sum += n;
    return sum;
  }, { validator: (n) => { if (n < 0) throw new Error('too small'); } });
  wf.setHandler(go, () => { finished = true; });
  await wf.condition(() => finished && wf.allHandlersFinished());
  return sum;
}

module.exports = { Primitives, Child, Parent, Chain, Cancelled, Failed, Updated };
