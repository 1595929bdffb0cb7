//! Each recipe with the real tools: its story, and the faults that the system which we replace had.

mod pnpm_pm2;
