/** Arrows point inward; docs/architecture.md says why. */
const engine = (folder) => `^packages/engine/src/${folder}`;
const ADAPTERS = 'supervisor|drivers|vmms|kernels|images|rootfs|network|ingress|state|volumes|host|bundle';
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'domain-imports-nothing',
      severity: 'error',
      from: { path: engine('domain/') },
      to: { pathNot: engine('domain/') },
    },
    {
      name: 'ports-import-domain-only',
      severity: 'error',
      from: { path: engine('ports/') },
      to: { pathNot: [engine('(domain|ports)/'), '^packages/contract/', '^node:', '^(stream|events|buffer)$'] },
    },
    {
      name: 'core-does-no-io',
      severity: 'error',
      from: { path: engine('(policy|compose|lifecycle|release)/') },
      to: { path: [engine(`(${ADAPTERS})/`), engine('api/')] },
    },
    {
      name: 'adapters-do-not-import-core',
      severity: 'error',
      from: { path: engine(`(${ADAPTERS})/`) },
      to: { path: engine('(policy|compose|lifecycle|release|api)/') },
    },
    {
      name: 'adapters-never-import-each-other',
      severity: 'error',
      from: { path: engine(`(${ADAPTERS})/`) },
      to: { path: engine(`(${ADAPTERS})/`), pathNot: [engine('$1/'), engine('(host|bundle)/')] },
    },
    {
      name: 'drivers-never-import-each-other',
      severity: 'error',
      from: { path: engine('drivers/([^/]+)/') },
      to: { path: engine('drivers/'), pathNot: engine('drivers/$1/') },
    },
    {
      name: 'only-main-names-adapters',
      severity: 'error',
      from: { path: engine('api/') },
      to: { path: engine(`(${ADAPTERS})/`) },
    },
    {
      name: 'cli-uses-sdk-only',
      severity: 'error',
      from: { path: '^packages/cli/src/' },
      to: { path: '^packages/engine/' },
    },
    {
      name: 'sdk-uses-contract-only',
      severity: 'error',
      from: { path: '^packages/sdk/src/' },
      to: { path: '^packages/(engine|cli|testkit)/' },
    },
    {
      name: 'contract-is-pure',
      severity: 'error',
      from: { path: '^packages/contract/src/' },
      to: { path: ['^packages/(engine|cli|sdk|testkit)/', '^node:', '^(fs|net|http|child_process)$'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/test/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
};
