// An OAuth 2 authorisation server on loopback: client credentials by private_key_jwt, access tokens that are JWTs.
//
// One argument, JSON: {"clients": {ID: JWKS, ...}, "scopes": [...], "audience": URL of the FHIR server, "ttl": seconds}.
// Prints one line of JSON, {"issuer", "token_url", "jwks_url"}, once it listens; ends when its standard input does.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { clients, scopes, audience, ttl } = JSON.parse(process.argv[2]);
const scope = scopes.join(' ');

const listener = createServer();
await new Promise((listening, failed) => {
  listener.once('error', failed);
  listener.listen(0, '127.0.0.1', listening);
});
const issuer = `http://127.0.0.1:${listener.address().port}`;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  clients: Object.entries(clients).map(([client_id, jwks]) => ({
    client_id,
    jwks,
    scope,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'private_key_jwt',
  })),
  scopes,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'issuer', use: 'sig', alg: 'RS256' }] },
  clientAuthMethods: ['private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['RS384', 'ES384'] },
  routes: { token: '/token', jwks: '/jwks' },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        accessTokenFormat: 'jwt',
        accessTokenTTL: ttl,
        audience,
        jwt: { sign: { alg: 'RS256' } },
        scope,
      }),
    },
  },
});
listener.on('request', provider.callback());

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer, token_url: `${issuer}/token`, jwks_url: `${issuer}/jwks` }));
