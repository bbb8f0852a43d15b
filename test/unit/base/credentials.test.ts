import t from 'tap';
import { withoutCredentials, withoutSecrets } from '../../../src/base/credentials.ts';

t.test('a URL for display has no user and no password', async t => {
  t.equal(withoutCredentials('https://u:S3CRET@h:1/x'), 'https://h:1/x');
  t.equal(withoutCredentials('u:S3CRET@h'), 'h');
});

t.test('a text with secrets of each form loses them and keeps the rest', async t => {
  const key = 'cN4FmNqIYWuBtrGN3Ef2pOuGyBSykqhxgIcRT3kFm2Y=';
  const texts = [
    'dial https://root:S3CRET@store.corp:2379/x?y=1 failed',
    'etcd http://u:S3@CRET@h, http://S3CRET@h',
    'authorization: Bearer S3CRET.S3CRET',
    '{"token":"S3CRET \\" S3CRET","psk": "S3CRET"}',
    "ETCD_PASSWORD='S3CRET S3CRET' client-key-data: S3CRET",
    'http://127.0.0.1:1/#token=S3CRET&x',
    'started with --etcd-password S3CRET --etcd-username root',
    `peer ${key.replace('cN4F', 'S3CR')} is there`,
    'eyJhbGciOiJSUzI1NiJ9.S3CRET.S3CRET',
    '-----BEGIN EC PRIVATE KEY-----\nS3CRET\n-----END EC PRIVATE KEY----- after',
    'a -----BEGIN PRIVATE KEY-----\nS3CRET',
    'PRESHARED_KEY=S3CRET',
  ];
  for (const text of texts) t.notMatch(withoutSecrets(text), /S3CR/, text);
  t.equal(withoutSecrets(texts[0]!), 'dial https://store.corp:2379/x?y=1 failed');
  t.equal(withoutSecrets(texts[6]!), 'started with --etcd-password <withheld> --etcd-username root');
});

t.test('a text without secrets stays as it is', async t => {
  const texts = [
    'the lease store answers again (endpoint=https://store.corp:2379 peers=3)',
    'invalid auth token is refused by user@host',
    '10.244.1.0/24 via 192.0.2.1 dev flannel.1 mac 0a:58:0a:f4:01:05',
  ];
  for (const text of texts) t.equal(withoutSecrets(text), text);
});

t.test(
  'values of the environment whose names say that they are secret are withheld wherever they are',
  async t => {
    const environment = { WEB_TOKEN: 'S3CRETS3CRET', HOME: '/root/home', MY_PASSWORD: 'short' };
    t.equal(withoutSecrets('x S3CRETS3CRET /root/home short', environment), 'x <withheld> /root/home short');
  },
);

t.test('a long text that begins like many secrets is read once', async t => {
  const parts = [
    'token',
    'a.',
    'eyJ-',
    'x://',
    'token="',
    'psk: ',
    '-----BEGIN PRIVATE KEY-----',
    '@',
    ' ',
    '--token ',
  ];
  for (const part of parts) t.type(withoutSecrets(part.repeat(200_000)), 'string', part);
});
