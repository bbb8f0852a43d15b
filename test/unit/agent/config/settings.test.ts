import t from 'tap';
import { parseFlags } from '../../../../src/agent/config/flags.ts';
import { type NetworkConfig, parseNetConf } from '../../../../src/agent/config/net-conf.ts';
import {
  ResolvedSettings,
  readClusterSettings,
  resolveSettings,
  SETTING_NAMES,
  SETTINGS,
  settingFlag,
} from '../../../../src/agent/config/settings.ts';
import { parseStaticFile } from '../../../../src/agent/store/static/static-file.ts';

const cluster = (ripstop: unknown, type = 'vxlan'): NetworkConfig =>
  parseNetConf(
    JSON.stringify({ Network: '10.0.0.0/8', Backend: { Type: type, Ripstop: ripstop } }),
    'net-conf.json',
  );
const file = (text: string) => parseStaticFile(`subnets: [10.244.1.0/24]\n${text}`, 'node.yaml').settings;

t.test('flag before file before cluster before default', async t => {
  const flag = parseFlags(['--workers=4', '--offload-tso=false'], { RIPSTOP_SOURCE_PORTS: '8' }).settings;
  const layers = {
    flag,
    file: file('workers: 3\nbusyPollMicroseconds: 50\noffloads: {tso: true, uso: false}\n'),
    cluster: cluster({ workers: 2, busyPollMicroseconds: 60, flood: true }).settings.values,
  };
  const resolved = new ResolvedSettings(layers);
  const origins = Object.fromEntries(
    resolved.list().map(({ name, value, origin }) => [name, `${value} ${origin}`]),
  );
  t.match(origins, {
    workers: '4 flag',
    sourcePorts: '8 flag',
    busyPollMicroseconds: '50 file',
    flood: 'true cluster',
    txQueueLength: '1000 default',
    'offloads.tso': 'false flag',
    'offloads.uso': 'false file',
    'offloads.csum': 'true default',
  });
  t.match(resolved.values, {
    workers: 4,
    sourceCheck: 'strict',
    offloads: { tso: false, uso: false, csum: true },
  });
  const former = new ResolvedSettings({ file: layers.file });
  t.same(resolved.changesFrom(former), [
    'workers is 4 (flag), was 3',
    'sourcePorts is 8 (flag), was 16',
    'flood is true (cluster), was false',
    'offloads.tso is false (flag), was true',
  ]);
});

t.test('each setting can be given in all three places', async t => {
  for (const name of SETTING_NAMES) {
    const { fallback, range, words } = SETTINGS[name];
    const value = range ? range[1] : words ? words.at(-1) : !fallback;
    const [group = '', key] = name.split('.');
    const object = key === undefined ? { [group]: value } : { [group]: { [key]: value } };
    t.equal(parseFlags([`--${settingFlag(name)}=${value}`], {}).settings.get(name), value, settingFlag(name));
    const json = JSON.stringify({ subnets: ['10.244.1.0/24'], ...object });
    t.equal(parseStaticFile(json, 'node.json').settings.get(name), value, `file: ${name}`);
    t.equal(cluster(object).settings.values.get(name), value, `cluster: ${name}`);
  }
  t.equal(parseFlags([], {}).settings.size, 0, 'the default of a flag is not a given value');
});

t.test('a wrong flag or file is an error, a wrong value of the cluster a fault', async t => {
  t.throws(() => parseFlags(['--workers=99'], {}), /--workers: "99" is not a whole number within 1\.\.32/);
  t.throws(
    () => parseFlags(['--source-check=of'], {}),
    /--source-check: "of" is not right; did you mean "off"/,
  );
  t.throws(() => file('workers: 99\n'), /node\.yaml: workers: 99 is not a whole number within 1\.\.32/);
  const { values, faults } = cluster({
    workers: 'many',
    wrokers: 2,
    SourcePorts: 4,
    offloads: { tso: 1, uso: false },
  }).settings;
  t.same(
    [...values],
    [
      ['sourcePorts', 4],
      ['offloads.uso', false],
    ],
  );
  t.match(faults, [
    {
      names: ['workers'],
      message: /^Backend\.Ripstop\.workers: "many" is not a whole number within 1\.\.32/,
    },
    { names: [], message: /^Backend\.Ripstop\.wrokers: unknown key; did you mean "workers"\?/ },
    { names: ['offloads.tso'], message: /^Backend\.Ripstop\.offloads\.tso: 1 is not true or false/ },
  ]);
  t.match(readClusterSettings('fast', 'Backend.Ripstop').faults, [
    { names: SETTING_NAMES, message: 'Backend.Ripstop: must be a JSON object' },
  ]);
  for (const type of ['udp', 'host-gw']) t.same(cluster({ workers: 2 }, type).settings.faults, [], type);
});

t.test('a value of the cluster that cannot work with the others is a fault of that value', async t => {
  const problemOf = ({ driver, workers }: { driver: string; workers: number }) =>
    driver === 'tuntap2' && workers > 1 ? 'impossible' : undefined;
  const resolve = (ripstop: object, present: object = {}, flags: string[] = []) => {
    const settings = resolveSettings(
      parseFlags(flags, {}).settings,
      cluster(ripstop).settings,
      cluster(present).settings.values,
      problemOf,
    );
    return { ...settings.values, faults: settings.faults };
  };
  const both = { driver: 'tuntap2', workers: 2 };
  const driver = { driver: 'native', workers: 2, faults: ['Backend.Ripstop.driver: impossible'] };
  const workers = { driver: 'tuntap2', workers: 1, faults: ['Backend.Ripstop.workers: impossible'] };
  t.match(resolve(both), driver, 'at the start');
  t.match(resolve(both, { workers: 2 }), driver);
  t.match(resolve(both, { driver: 'tuntap2' }), workers);
  t.match(resolve({ driver: 'tuntap2' }, {}, ['--workers=2']), driver);
  t.match(resolve({ workers: 2 }, {}, ['--driver=tuntap2']), workers);
  t.match(resolve({ driver: 'tuntap2' }, { workers: 2 }), { driver: 'tuntap2', workers: 1, faults: [] });
  t.match(
    resolve({}, {}, ['--workers=2', '--driver=tuntap2']),
    { ...both, faults: [] },
    'not of the cluster',
  );
});
