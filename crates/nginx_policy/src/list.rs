//! The closed list: every directive that a site file may use, and the rule for its arguments.
//!
//! Made from nginx's documentation and from the command tables in the binaries and modules of Debian 12 (nginx 1.22) and 13 (1.26). The
//! tables are in `tests/corpus/directives.txt`, each with the decision that a test compares with this list. A directive that is in none of
//! the groups below is refused, whatever module it belongs to.
//!
//! nginx itself judges the rest: contexts, numbers, times and syntax. A directive is here if nothing that it can be told
//! runs code or makes nginx's master read or write a file; where an argument names a file, the rule says where it may lie.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a directive's arguments may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anything: no argument can name a file or run code.
    Plain,
    /// A block of directives, which are judged likewise.
    Block,
    /// A block of data (`map`): its entries are no directives, but for `include`.
    Data,
    /// `geo`: like [`Rule::Data`], but `ranges` and `include` exclude each other.
    Geo,
    /// `geoip2 FILE { ... }`: a database of MaxMind's, then data.
    GeoIpData,
    /// `server`: with a block it is a server, without one it is an upstream's peer.
    Server,
    /// A configuration file that nginx's master reads as root.
    Include,
    /// A log that nginx's master opens for writing as root.
    Log,
    /// A directory that nginx's master makes and gives to nginx's user.
    Cache,
    /// A certificate, key or similar that nginx's master reads as root; it is used for TLS and never shown.
    KeyFile,
    /// A file of MaxMind's that nginx's master reads as root.
    GeoIpFile,
    /// A file with users and passwords that nginx's user reads.
    PasswordFile,
    /// A directory or file that is served.
    Served,
    /// URIs from this argument on: nginx puts them behind `root` as they are, so `..` would lead out of it.
    Uris(usize),
    /// The argument with this number is the URI of a subrequest: it begins with a slash. nginx takes it as it is, and `$uri` there is it.
    Subrequested(usize),
    /// The address of a server, or its socket.
    Peer,
    /// The address that connections to servers come from, and nothing beside it.
    Bind,
    /// Servers of the DNS.
    Resolver,
    /// An address and port that nginx listens on.
    Listen,
    /// A command of OpenSSL's; some of those name files.
    TlsCommand,
    /// One of these words only.
    OneOf(&'static [&'static str]),
    /// A parameter for a FastCGI server.
    FastCgiParameter,
    /// A parameter for a uWSGI server.
    UwsgiParameter,
    /// A header or footer of fancyindex: `local` reads a file as root.
    IndexPart,
    /// A subrequest of echo: `-f` reads a file.
    Subrequest,
}

use Rule::{
    Bind, Block, Cache, Data, FastCgiParameter, Geo, GeoIpData, GeoIpFile, Include, IndexPart, KeyFile,
    Listen, Log, OneOf, PasswordFile, Peer, Plain, Resolver, Served, Server, Subrequest, Subrequested,
    TlsCommand, Uris, UwsgiParameter,
};

/// Modifiers of uWSGI that only choose the interface of the application (WSGI, PSGI, Rack, CGI, PHP, Mono). Others run code that comes with the
/// request, or speak with uWSGI's master.
const UWSGI_MODIFIERS: Rule = OneOf(&["0", "5", "7", "9", "14", "15", "30"]);

/// Of `client_body_in_file_only`; `on` keeps every request's body for ever.
const BODY_FILES: Rule = OneOf(&["off", "clean"]);

/// Rules with the names that they are for, by module. A name stands here once.
static GROUPS: &[(Rule, &str)] = &[
    // Core: structure.
    (Server, "server"),
    (Block, "location if limit_except upstream"),
    (Data, "map split_clients types charset_map"),
    (Geo, "geo"),
    (Include, "include"),
    // Core: http, server and location.
    (
        Plain,
        "absolute_redirect aio aio_write chunked_transfer_encoding client_body_buffer_size \
         client_body_in_single_buffer client_body_timeout client_header_buffer_size client_header_timeout \
         client_max_body_size connection_pool_size default_type directio directio_alignment disable_symlinks \
         etag if_modified_since ignore_invalid_headers internal keepalive_disable keepalive_min_timeout \
         keepalive_requests keepalive_time keepalive_timeout large_client_header_buffers limit_rate \
         limit_rate_after lingering_close lingering_time lingering_timeout log_not_found log_subrequest \
         max_headers max_ranges merge_slashes msie_padding msie_refresh open_file_cache \
         open_file_cache_errors open_file_cache_events open_file_cache_min_uses open_file_cache_valid \
         output_buffers port_in_redirect postpone_output read_ahead recursive_error_pages \
         request_pool_size reset_timedout_connection resolver_timeout satisfy send_lowat \
         send_timeout sendfile sendfile_max_chunk server_name server_name_in_redirect \
         server_names_hash_bucket_size server_names_hash_max_size server_tokens \
         subrequest_output_buffer_size tcp_nodelay tcp_nopush types_hash_bucket_size types_hash_max_size \
         underscores_in_headers variables_hash_bucket_size variables_hash_max_size early_hints",
    ),
    (Resolver, "resolver"),
    (Listen, "listen"),
    (Served, "root alias"),
    (Uris(0), "try_files error_page index"),
    (Subrequested(0), "post_action"),
    (BODY_FILES, "client_body_in_file_only"),
    // Rewriting.
    (Plain, "break return rewrite_log set uninitialized_variable_warn"),
    (Uris(1), "rewrite"),
    // Access, limits, and who a visitor is.
    (
        Plain,
        "allow deny auth_basic auth_delay auth_request_set limit_conn limit_conn_dry_run \
         limit_conn_log_level limit_conn_status limit_conn_zone limit_req limit_req_dry_run \
         limit_req_log_level limit_req_status limit_req_zone real_ip_header real_ip_recursive \
         set_real_ip_from secure_link secure_link_md5 secure_link_secret valid_referers \
         referer_hash_bucket_size referer_hash_max_size userid userid_domain userid_expires userid_flags \
         userid_mark userid_name userid_p3p userid_path userid_service ancient_browser \
         ancient_browser_value modern_browser modern_browser_value",
    ),
    (PasswordFile, "auth_basic_user_file"),
    (Subrequested(0), "auth_request mirror"),
    // Logs.
    (Plain, "log_format open_log_file_cache"),
    (Log, "access_log error_log"),
    // Headers, filters and small content.
    (
        Plain,
        "add_header add_header_inherit add_trailer add_trailer_inherit addition_types autoindex \
         autoindex_exact_size autoindex_format autoindex_localtime charset charset_types empty_gif expires \
         flv gunzip gunzip_buffers gzip gzip_buffers gzip_comp_level gzip_disable gzip_hash \
         gzip_http_version gzip_min_length gzip_no_buffer gzip_proxied gzip_static gzip_types gzip_vary \
         gzip_window map_hash_bucket_size map_hash_max_size mirror_request_body mp4 mp4_buffer_size \
         mp4_max_buffer_size mp4_start_key_frame override_charset postpone_gzipping random_index slice \
         source_charset ssi ssi_ignore_recycled_buffers ssi_last_modified ssi_min_file_chunk \
         ssi_silent_errors ssi_types ssi_value_length stub_status sub_filter sub_filter_last_modified \
         sub_filter_once sub_filter_types",
    ),
    (Subrequested(0), "add_after_body add_before_body"),
    // WebDAV: without `dav_methods`, which writes files, these have no effect.
    (Plain, "create_full_put_path dav_access min_delete_depth"),
    (OneOf(&["off"]), "dav_methods"),
    // TLS, HTTP/2, HTTP/3.
    (
        Plain,
        "ssl ssl_buffer_size ssl_certificate_cache ssl_certificate_compression ssl_ciphers ssl_early_data \
         ssl_ecdh_curve ssl_ocsp ssl_ocsp_cache ssl_prefer_server_ciphers \
         ssl_protocols ssl_reject_handshake ssl_session_cache ssl_session_tickets ssl_session_timeout \
         ssl_stapling ssl_stapling_verify ssl_verify_client ssl_verify_depth http2 \
         http2_body_preread_size http2_chunk_size http2_idle_timeout http2_max_concurrent_pushes \
         http2_max_concurrent_streams http2_max_field_size http2_max_header_size http2_max_requests \
         http2_pool_size http2_push http2_push_preload http2_recv_buffer_size http2_recv_timeout \
         http2_streams_index_size http3 http3_hq http3_max_concurrent_streams http3_stream_buffer_size \
         quic_active_connection_id_limit quic_gso quic_retry",
    ),
    (
        KeyFile,
        "ssl_certificate ssl_certificate_key ssl_client_certificate ssl_crl ssl_dhparam ssl_ech_file \
         ssl_password_file ssl_session_ticket_key ssl_stapling_file ssl_trusted_certificate quic_host_key",
    ),
    (TlsCommand, "ssl_conf_command"),
    (Peer, "ssl_ocsp_responder ssl_stapling_responder"),
    // Upstreams.
    (Plain, "hash ip_hash keepalive least_conn random zone upstream_list fair upstream_fair_shm_size"),
    (Bind, "proxy_bind fastcgi_bind uwsgi_bind scgi_bind grpc_bind memcached_bind"),
    // proxy_
    (
        Plain,
        "proxy_buffer_size proxy_buffering proxy_buffers \
         proxy_busy_buffers_size proxy_cache proxy_cache_background_update proxy_cache_bypass \
         proxy_cache_convert_head proxy_cache_key proxy_cache_lock proxy_cache_lock_age \
         proxy_cache_lock_timeout proxy_cache_max_range_offset proxy_cache_methods proxy_cache_min_uses \
         proxy_cache_purge proxy_cache_revalidate proxy_cache_use_stale proxy_cache_valid \
         proxy_connect_timeout proxy_cookie_domain proxy_cookie_flags proxy_cookie_path \
         proxy_force_ranges proxy_headers_hash_bucket_size proxy_headers_hash_max_size proxy_hide_header \
         proxy_http_version proxy_ignore_client_abort proxy_ignore_headers proxy_intercept_errors \
         proxy_limit_rate proxy_max_temp_file_size proxy_next_upstream \
         proxy_next_upstream_timeout proxy_next_upstream_tries proxy_no_cache proxy_pass_header \
         proxy_pass_request_body proxy_pass_request_headers proxy_pass_trailers proxy_read_timeout \
         proxy_redirect proxy_request_buffering proxy_send_lowat \
         proxy_send_timeout proxy_set_body proxy_set_header proxy_socket_keepalive \
         proxy_ssl_certificate_cache proxy_ssl_ciphers proxy_ssl_name proxy_ssl_protocols \
         proxy_ssl_server_name proxy_ssl_session_reuse proxy_ssl_verify proxy_ssl_verify_depth \
         proxy_store_access proxy_temp_file_write_size",
    ),
    (Peer, "proxy_pass"),
    (Cache, "proxy_cache_path"),
    // Its text is sent as it is: with a variable, the caller would write the first bytes to a uWSGI or FastCGI socket.
    (OneOf(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "$request_method"]), "proxy_method"),
    (OneOf(&["off"]), "proxy_store"),
    (
        KeyFile,
        "proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_crl proxy_ssl_password_file \
         proxy_ssl_trusted_certificate",
    ),
    (TlsCommand, "proxy_ssl_conf_command"),
    // fastcgi_
    (
        Plain,
        "fastcgi_buffer_size fastcgi_buffering fastcgi_buffers fastcgi_busy_buffers_size \
         fastcgi_cache fastcgi_cache_background_update fastcgi_cache_bypass fastcgi_cache_key \
         fastcgi_cache_lock fastcgi_cache_lock_age fastcgi_cache_lock_timeout \
         fastcgi_cache_max_range_offset fastcgi_cache_methods fastcgi_cache_min_uses fastcgi_cache_purge \
         fastcgi_cache_revalidate fastcgi_cache_use_stale fastcgi_cache_valid fastcgi_catch_stderr \
         fastcgi_connect_timeout fastcgi_force_ranges fastcgi_hide_header fastcgi_ignore_client_abort \
         fastcgi_ignore_headers fastcgi_index fastcgi_intercept_errors fastcgi_keep_conn \
         fastcgi_limit_rate fastcgi_max_temp_file_size fastcgi_next_upstream \
         fastcgi_next_upstream_timeout fastcgi_next_upstream_tries fastcgi_no_cache fastcgi_pass_header \
         fastcgi_pass_request_body fastcgi_pass_request_headers fastcgi_read_timeout \
         fastcgi_request_buffering fastcgi_send_lowat fastcgi_send_timeout fastcgi_socket_keepalive \
         fastcgi_split_path_info fastcgi_store_access fastcgi_temp_file_write_size",
    ),
    (Peer, "fastcgi_pass"),
    (FastCgiParameter, "fastcgi_param"),
    (Cache, "fastcgi_cache_path"),
    (OneOf(&["off"]), "fastcgi_store"),
    // uwsgi_
    (
        Plain,
        "uwsgi_buffer_size uwsgi_buffering uwsgi_buffers uwsgi_busy_buffers_size uwsgi_cache \
         uwsgi_cache_background_update uwsgi_cache_bypass uwsgi_cache_key uwsgi_cache_lock \
         uwsgi_cache_lock_age uwsgi_cache_lock_timeout uwsgi_cache_max_range_offset uwsgi_cache_methods \
         uwsgi_cache_min_uses uwsgi_cache_purge uwsgi_cache_revalidate uwsgi_cache_use_stale \
         uwsgi_cache_valid uwsgi_connect_timeout uwsgi_force_ranges uwsgi_hide_header \
         uwsgi_ignore_client_abort uwsgi_ignore_headers uwsgi_intercept_errors uwsgi_limit_rate \
         uwsgi_max_temp_file_size uwsgi_modifier2 uwsgi_next_upstream uwsgi_next_upstream_timeout \
         uwsgi_next_upstream_tries uwsgi_no_cache uwsgi_pass_header uwsgi_pass_request_body \
         uwsgi_pass_request_headers uwsgi_read_timeout uwsgi_request_buffering uwsgi_send_timeout \
         uwsgi_socket_keepalive uwsgi_ssl_certificate_cache uwsgi_ssl_ciphers uwsgi_ssl_name \
         uwsgi_ssl_protocols uwsgi_ssl_server_name uwsgi_ssl_session_reuse uwsgi_ssl_verify \
         uwsgi_ssl_verify_depth uwsgi_store_access uwsgi_temp_file_write_size",
    ),
    (Peer, "uwsgi_pass"),
    (UwsgiParameter, "uwsgi_param"),
    (UWSGI_MODIFIERS, "uwsgi_modifier1"),
    (Cache, "uwsgi_cache_path"),
    (OneOf(&["off"]), "uwsgi_store"),
    (
        KeyFile,
        "uwsgi_ssl_certificate uwsgi_ssl_certificate_key uwsgi_ssl_crl uwsgi_ssl_password_file \
         uwsgi_ssl_trusted_certificate",
    ),
    (TlsCommand, "uwsgi_ssl_conf_command"),
    // scgi_
    (
        Plain,
        "scgi_buffer_size scgi_buffering scgi_buffers scgi_busy_buffers_size scgi_cache \
         scgi_cache_background_update scgi_cache_bypass scgi_cache_key scgi_cache_lock \
         scgi_cache_lock_age scgi_cache_lock_timeout scgi_cache_max_range_offset scgi_cache_methods \
         scgi_cache_min_uses scgi_cache_purge scgi_cache_revalidate scgi_cache_use_stale scgi_cache_valid \
         scgi_connect_timeout scgi_force_ranges scgi_hide_header scgi_ignore_client_abort \
         scgi_ignore_headers scgi_intercept_errors scgi_limit_rate scgi_max_temp_file_size \
         scgi_next_upstream scgi_next_upstream_timeout scgi_next_upstream_tries scgi_no_cache scgi_param \
         scgi_pass_header scgi_pass_request_body scgi_pass_request_headers scgi_read_timeout \
         scgi_request_buffering scgi_send_timeout scgi_socket_keepalive scgi_store_access \
         scgi_temp_file_write_size",
    ),
    (Peer, "scgi_pass"),
    (Cache, "scgi_cache_path"),
    (OneOf(&["off"]), "scgi_store"),
    // grpc_
    (
        Plain,
        "grpc_buffer_size grpc_connect_timeout grpc_hide_header grpc_ignore_headers \
         grpc_intercept_errors grpc_next_upstream grpc_next_upstream_timeout grpc_next_upstream_tries \
         grpc_pass_header grpc_read_timeout grpc_send_timeout grpc_set_header grpc_socket_keepalive \
         grpc_ssl_certificate_cache grpc_ssl_ciphers grpc_ssl_name grpc_ssl_protocols \
         grpc_ssl_server_name grpc_ssl_session_reuse grpc_ssl_verify grpc_ssl_verify_depth",
    ),
    (Peer, "grpc_pass"),
    (
        KeyFile,
        "grpc_ssl_certificate grpc_ssl_certificate_key grpc_ssl_crl grpc_ssl_password_file \
         grpc_ssl_trusted_certificate",
    ),
    (TlsCommand, "grpc_ssl_conf_command"),
    // memcached_
    (
        Plain,
        "memcached_buffer_size memcached_connect_timeout memcached_gzip_flag \
         memcached_next_upstream memcached_next_upstream_timeout memcached_next_upstream_tries \
         memcached_read_timeout memcached_send_timeout memcached_socket_keepalive",
    ),
    (Peer, "memcached_pass memc_pass"),
    // Debian's dynamic modules: geoip, geoip2.
    (Plain, "geoip_proxy geoip_proxy_recursive geoip2_proxy geoip2_proxy_recursive"),
    (GeoIpFile, "geoip_city geoip_country geoip_org"),
    (GeoIpData, "geoip2"),
    // image-filter.
    (
        Plain,
        "image_filter image_filter_buffer image_filter_interlace image_filter_jpeg_quality \
         image_filter_sharpen image_filter_transparency image_filter_webp_quality",
    ),
    // headers-more, brotli, subs-filter, cache-purge, dav-ext, uploadprogress.
    (
        Plain,
        "more_clear_headers more_clear_input_headers more_set_headers more_set_input_headers brotli \
         brotli_buffers brotli_comp_level brotli_min_length brotli_static brotli_types brotli_window \
         subs_buffers subs_filter subs_filter_bypass subs_filter_types subs_line_buffer_size \
         cache_purge_response_type dav_ext_lock dav_ext_lock_zone dav_ext_methods report_uploads \
         track_uploads upload_progress upload_progress_content_type upload_progress_header \
         upload_progress_java_output upload_progress_json_output upload_progress_jsonp_output \
         upload_progress_jsonp_parameter upload_progress_template",
    ),
    // fancyindex.
    (
        Plain,
        "fancyindex fancyindex_css_href fancyindex_default_sort fancyindex_directories_first \
         fancyindex_exact_size fancyindex_hide_parent_dir fancyindex_hide_symlinks fancyindex_ignore \
         fancyindex_localtime fancyindex_name_length fancyindex_show_dotfiles fancyindex_show_path \
         fancyindex_time_format",
    ),
    (IndexPart, "fancyindex_header fancyindex_footer"),
    // echo.
    (
        Plain,
        "echo echo_abort_parent echo_after_body echo_before_body echo_blocking_sleep echo_duplicate \
         echo_end echo_flush echo_foreach_split echo_read_request_body echo_request_body \
         echo_reset_timer echo_sleep echo_status",
    ),
    (Subrequested(0), "echo_exec echo_location echo_location_async"),
    (Subrequest, "echo_subrequest echo_subrequest_async"),
    (Subrequested(1), "srcache_fetch srcache_store"),
    // set-misc, memc, srcache.
    (
        Plain,
        "set_base32_alphabet set_base32_padding set_decode_base32 set_decode_base64 set_decode_base64url \
         set_decode_hex set_encode_base32 set_encode_base64 set_encode_base64url set_encode_hex \
         set_escape_uri set_formatted_gmt_time set_formatted_local_time set_hashed_upstream \
         set_hmac_sha1 set_hmac_sha256 set_if_empty set_local_today set_md5 set_misc_base32_padding \
         set_quote_json_str set_quote_pgsql_str set_quote_sql_str set_random set_rotate \
         set_secure_random_alphanum set_secure_random_lcalpha set_sha1 set_unescape_uri \
         memc_buffer_size memc_cmds_allowed memc_connect_timeout memc_flags_to_last_modified \
         memc_ignore_client_abort memc_next_upstream memc_read_timeout memc_send_timeout \
         memc_upstream_fail_timeout memc_upstream_max_fails srcache_buffer srcache_default_expire \
         srcache_fetch_skip srcache_header_buffer_size srcache_ignore_content_encoding \
         srcache_max_expire srcache_methods srcache_request_cache_control \
         srcache_response_cache_control srcache_store_hide_header srcache_store_max_size \
         srcache_store_no_cache srcache_store_no_store srcache_store_pass_header srcache_store_private \
         srcache_store_ranges srcache_store_skip srcache_store_statuses",
    ),
];

/// The rule of a directive; `None`: it is not on the list.
pub fn rule(name: &str) -> Option<Rule> {
    static RULES: LazyLock<HashMap<&str, Rule>> = LazyLock::new(|| {
        let all =
            GROUPS.iter().flat_map(|(rule, names)| names.split_whitespace().map(move |name| (name, *rule)));
        all.collect()
    });
    RULES.get(name).copied()
}

/// Belong to `nginx.conf`: they decide what nginx is, and no site needs them. An operator who wants one writes it there, once.
const NEVER: &str = "load_module user daemon master_process pid env working_directory events http mail stream rtmp \
     ssl_engine ssl_object_cache_inheritable thread_pool lock_file debug_points pcre_jit quic_bpf \
     google_perftools_profiles timer_resolution worker_processes worker_connections worker_cpu_affinity \
     worker_priority worker_rlimit_core worker_rlimit_nofile worker_rlimit_sigpending \
     worker_shutdown_timeout worker_aio_requests accept_mutex accept_mutex_delay multi_accept use \
     debug_connection epoll_events";

/// Beginnings of names of directives that run code in nginx's master or its workers.
const CODE: [&str; 14] = [
    "js_",
    "lua_",
    "perl",
    "passenger",
    "modsecurity",
    "mruby_",
    "quickjs_",
    "wasm",
    "rack_",
    "xslt_",
    "xml_entities",
    "auth_pam",
    "auth_gss",
    "otel_",
];

/// Why a directive that is not on the list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No operator can allow it.
    Never,
    /// What follows if an operator allows it.
    Unless(&'static str),
}

/// How a directive that is on the list, or is not, may be allowed whatever its arguments are.
pub fn refusal(name: &str) -> Refusal {
    if NEVER.split_whitespace().any(|never| never == name) {
        return Refusal::Never;
    }
    if CODE.iter().any(|family| name.starts_with(family))
        || name.contains("_by_lua")
        || name.contains("_by_njs")
    {
        return Refusal::Unless(
            "it runs code in nginx or parses files as root: whoever can push to this repository becomes root",
        );
    }
    if name.ends_with("_temp_path") {
        return Refusal::Unless(
            "nginx's master makes this directory and gives it to nginx's user: whoever can push to this repository becomes root",
        );
    }
    let follows = match rule(name) {
        None => "nobody has looked at what it does: take it for code that runs as root",
        Some(Rule::Log | Rule::Cache) => {
            "nginx's master writes there as root: whoever can push to this repository becomes root"
        }
        Some(
            Rule::Include
            | Rule::KeyFile
            | Rule::GeoIpFile
            | Rule::GeoIpData
            | Rule::IndexPart
            | Rule::TlsCommand,
        ) => "nginx's master reads any file as root: whoever can push to this repository reads root's files",
        Some(
            Rule::Served | Rule::PasswordFile | Rule::Uris(_) | Rule::Subrequested(_) | Rule::Subrequest,
        ) => "nginx reads and serves any file that its user can read",
        Some(Rule::Bind) => {
            "nginx's workers take a right that its unit may not give: then they end, and with them every site"
        }
        Some(Rule::FastCgiParameter | Rule::UwsgiParameter | Rule::Peer | Rule::Resolver) => {
            "whoever can push to this repository commands the application servers that nginx reaches, and runs code as their users"
        }
        Some(Rule::Listen) => "nginx's master opens any port, and makes socket files, as root",
        Some(Rule::OneOf(_)) => {
            "nginx writes files as its user, or commands application servers: what that user can write, whoever can push can write"
        }
        Some(Rule::Plain | Rule::Block | Rule::Data | Rule::Geo | Rule::Server) => {
            "nothing: it is allowed anyway"
        }
    };
    Refusal::Unless(follows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_rule() {
        let mut names: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.split_whitespace())
            .chain(NEVER.split_whitespace())
            .collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}
