//! Recipes with the real tools behind them: one file for each.

mod nginx_sites;
