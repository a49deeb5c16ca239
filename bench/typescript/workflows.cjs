// The workflow of bench/steps/worker.lua, for the TypeScript SDK.
const { proxyActivities } = require("@temporalio/workflow");

const { same } = proxyActivities({ startToCloseTimeout: "10s" });

exports.steps = async function (n) {
  let sum = 0;
  for (let i = 1; i <= n; i++) sum += await same(i);
  return sum;
};
