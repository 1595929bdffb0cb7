// The deployer under PM2, for hosts on which everything else is. `pm2 start packaging/pm2/ecosystem.config.cjs && pm2 save`
//
// What systemd gives and PM2 cannot: a port that refuses nobody during a restart (GitHub's hooks page and reconcile make up for it), secrets
// that only one half has, and a sandbox. `pm2 sendSignal SIGHUP durhack-deployer` reloads the configuration without a restart.

module.exports = {
  apps: [
    {
      name: "durhack-deployer",
      script: "/usr/bin/durhack-deployer",
      args: "serve",
      interpreter: "none",
      // In cluster mode, which is for node, there would be several of it.
      exec_mode: "fork",
      instances: 1,
      env: { DEPLOYER_ENV: "production" },
      // A run in progress may end: longer than `runs.drain_timeout` (2 minutes, if nothing else is configured), after which it is taken back.
      kill_timeout: 200_000,
      // The signal is for the deployer alone, which ends its steps itself.
      treekill: false,
      autorestart: true,
      // Until a database is there, or a mistake in the configuration is mended.
      exp_backoff_restart_delay: 500,
      time: false,
    },
  ],
}
