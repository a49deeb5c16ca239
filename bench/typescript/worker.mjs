// The official TypeScript SDK's worker, until it is told to stop.
//   node worker.mjs FOLDER ADDRESS QUEUE
// FOLDER has node_modules with @temporalio/worker, @temporalio/workflow and @temporalio/activity.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [folder, address, taskQueue] = process.argv.slice(2);
const modules = join(resolve(folder), "node_modules");
const { DefaultLogger, NativeConnection, Runtime, Worker } = createRequire(join(modules, "x.js"))("@temporalio/worker");

Runtime.install({ logger: new DefaultLogger("ERROR") });
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue,
  workflowsPath: fileURLToPath(new URL("workflows.cjs", import.meta.url)),
  bundlerOptions: {
    webpackConfigHook: (config) => ({ ...config, resolve: { ...config.resolve, modules: [modules] } }),
  },
  activities: { same: async (n) => n },
});
await worker.run();
