//! The deployer's own site: what nginx is told, so that GitHub reaches the intake. Pure.

use super::options::Origin;

/// In what every version of it begins with: what does not, is not ours to change.
pub const MARK: &str = "# Written by `durhack-deployer setup`.";

/// The site's text.
///
/// The intake believes the right-most entry of X-Forwarded-For that is not one of this machine's addresses (`proxy_fix` in the
/// configuration); so nginx says who called, in the place of whatever the caller has said.
pub fn text(origin: &Origin, has_certificate: bool, port: u16) -> String {
    let host = &origin.host;
    let challenges = "    # A certificate, and its renewals, are asked for here.
    location /.well-known/acme-challenge/ {
        root /var/www/html;
    }
";
    let locations = format!(
        "
    # GitHub sends at most 25 MB.
    client_max_body_size 25m;

    location / {{
        proxy_pass http://127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Connection \"\";
        proxy_set_header Host $host;
        # Overwritten, both: what the caller says of itself means nothing.
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        # The intake answers at once, or not at all.
        proxy_read_timeout 60s;
    }}
}}
"
    );
    if has_certificate {
        return format!(
            "{MARK}
server {{
    listen 80;
    listen [::]:80;
    server_name {host};
{challenges}    location / {{
        return 301 https://$host$request_uri;
    }}
}}

server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {host};
    ssl_certificate /etc/letsencrypt/live/{host}/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/{host}/privkey.pem;
{locations}"
        );
    }
    format!(
        "{MARK}
server {{
    listen 80;
    listen [::]:80;
    server_name {host};
{challenges}{locations}"
    )
}
