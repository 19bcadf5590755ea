--
-- PostgreSQL database dump
--

-- Dumped from database version 16.2
-- Dumped by pg_dump version 16.2

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alerts; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alerts (
    key text NOT NULL,
    title text NOT NULL,
    detail text NOT NULL,
    action text NOT NULL,
    link text,
    first_seen_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    count integer NOT NULL,
    told_at timestamp with time zone
);


--
-- Name: audit; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit (
    seq integer NOT NULL,
    at text NOT NULL,
    kind text NOT NULL,
    week text,
    payload text NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL
);


--
-- Name: audit_head; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit_head (
    id integer NOT NULL,
    count integer NOT NULL,
    hash text NOT NULL,
    CONSTRAINT audit_head_id_check CHECK ((id = 1))
);


--
-- Name: backtest; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.backtest (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    day text NOT NULL,
    equity double precision NOT NULL,
    cash double precision NOT NULL,
    held bigint NOT NULL,
    traded double precision NOT NULL,
    costs double precision NOT NULL
);


--
-- Name: backups; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.backups (
    id integer NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    bytes bigint NOT NULL,
    server_version text NOT NULL
);


--
-- Name: backups_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.backups_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: backups_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.backups_id_seq OWNED BY public.backups.id;


--
-- Name: daily_bars; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.daily_bars (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    session text NOT NULL,
    names bigint NOT NULL,
    bars bigint NOT NULL,
    corrected bigint NOT NULL,
    refused bigint NOT NULL
);


--
-- Name: equity_marks; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.equity_marks (
    id integer NOT NULL,
    account text NOT NULL,
    at timestamp with time zone NOT NULL,
    equity text NOT NULL
);


--
-- Name: equity_marks_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.equity_marks_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: equity_marks_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.equity_marks_id_seq OWNED BY public.equity_marks.id;


--
-- Name: fills; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.fills (
    id text NOT NULL,
    broker_order_id text NOT NULL,
    client_order_id text,
    account text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    qty text NOT NULL,
    price text NOT NULL,
    at timestamp with time zone NOT NULL
);


--
-- Name: financials; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.financials (
    symbol text NOT NULL,
    known_at timestamp with time zone NOT NULL,
    roe_ttm_pct double precision,
    debt_to_equity double precision,
    revenue_growth_yoy_pct double precision,
    eps_growth_yoy_pct double precision,
    book_value_per_share double precision,
    market_cap_musd double precision,
    reported_period text
);


--
-- Name: listings; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.listings (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    symbol text NOT NULL,
    description text,
    type text,
    mic text,
    currency text,
    figi text,
    share_class_figi text
);


--
-- Name: orders; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.orders (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    client_order_id text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    qty text,
    notional text,
    status text NOT NULL,
    filled_qty text NOT NULL,
    filled_avg_price text,
    note text
);


--
-- Name: orders_ledger; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.orders_ledger (
    client_order_id text NOT NULL,
    account text NOT NULL,
    plan_id text NOT NULL,
    week date NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    attempt integer NOT NULL,
    qty text,
    notional text,
    status text NOT NULL,
    broker_id text,
    filled_qty text NOT NULL,
    filled_avg_price text,
    note text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    sleeve text NOT NULL,
    period text NOT NULL
);


--
-- Name: portfolio_report; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.portfolio_report (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    symbol text NOT NULL,
    qty double precision NOT NULL,
    price double precision,
    value double precision,
    weight double precision,
    target_weight double precision NOT NULL,
    drift double precision
);


--
-- Name: profiles; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.profiles (
    symbol text NOT NULL,
    known_at timestamp with time zone NOT NULL,
    name text,
    currency text,
    market_cap_musd double precision,
    shares_outstanding_m double precision,
    industry text
);


--
-- Name: schema_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema_version (
    id integer NOT NULL,
    version integer NOT NULL,
    CONSTRAINT schema_version_id_check CHECK ((id = 1))
);


--
-- Name: scores; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.scores (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    symbol text NOT NULL,
    score double precision,
    reason text,
    roe_points double precision,
    debt_points double precision,
    growth_points double precision,
    roe_ttm_pct double precision,
    debt_to_equity double precision,
    revenue_growth_yoy_pct double precision,
    eps_growth_yoy_pct double precision,
    book_value_per_share double precision,
    market_cap_musd double precision,
    known_at timestamp with time zone,
    reported_period text
);


--
-- Name: snapshots; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.snapshots (
    id integer NOT NULL,
    asset text NOT NULL,
    partition text NOT NULL,
    as_of timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    row_count integer NOT NULL,
    details json NOT NULL
);


--
-- Name: snapshots_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.snapshots_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: snapshots_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.snapshots_id_seq OWNED BY public.snapshots.id;


--
-- Name: sweeps; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.sweeps (
    id integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    fresh_since timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    run_id text NOT NULL,
    requested integer NOT NULL,
    failures json NOT NULL
);


--
-- Name: sweeps_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.sweeps_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: sweeps_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.sweeps_id_seq OWNED BY public.sweeps.id;


--
-- Name: target_weights; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.target_weights (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    symbol text NOT NULL,
    weight double precision NOT NULL,
    score double precision NOT NULL,
    market_cap_musd double precision,
    rank bigint NOT NULL
);


--
-- Name: trade_plan; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.trade_plan (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    symbol text NOT NULL,
    sequence bigint NOT NULL,
    side text NOT NULL,
    qty text,
    notional text,
    price text,
    current_value double precision,
    target_value double precision NOT NULL,
    current_weight double precision,
    target_weight double precision NOT NULL,
    drift double precision,
    exit boolean NOT NULL,
    reason text
);


--
-- Name: tuning; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tuning (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    trial bigint NOT NULL,
    setting text NOT NULL,
    studies bigint NOT NULL,
    sharpe double precision,
    returns text NOT NULL
);


--
-- Name: universe; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.universe (
    snapshot_id integer NOT NULL,
    "position" integer NOT NULL,
    symbol text NOT NULL,
    name text,
    exchange text NOT NULL,
    market_cap_musd double precision NOT NULL,
    shares_outstanding_m double precision NOT NULL,
    price double precision NOT NULL,
    traded_value_musd double precision,
    rank bigint NOT NULL,
    industry text
);


--
-- Name: backups id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.backups ALTER COLUMN id SET DEFAULT nextval('public.backups_id_seq'::regclass);


--
-- Name: equity_marks id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.equity_marks ALTER COLUMN id SET DEFAULT nextval('public.equity_marks_id_seq'::regclass);


--
-- Name: snapshots id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.snapshots ALTER COLUMN id SET DEFAULT nextval('public.snapshots_id_seq'::regclass);


--
-- Name: sweeps id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sweeps ALTER COLUMN id SET DEFAULT nextval('public.sweeps_id_seq'::regclass);


--
-- Data for Name: alerts; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: audit; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.audit VALUES (1, '2026-08-24T14:05:02.586086+00:00', 'plan', '2026-08-24', '{"account":"PA0SANDBOX01","cash":"100000","created_at":"2026-08-24 14:05:02.586086+00:00","equity":"100000","inputs_hash":"cd34a89060b201231dfaf03594367f557e39c0730692dd4ea4a30c57b2964d5c","orders":[{"exit":false,"notional":"25088.97","price":"20.5","qty":null,"side":"buy","symbol":"AAA"},{"exit":false,"notional":"24987.99","price":"21.5","qty":null,"side":"buy","symbol":"AAB"},{"exit":false,"notional":"24887.00","price":"22.5","qty":null,"side":"buy","symbol":"AAC"},{"exit":false,"notional":"24786.02","price":"23.5","qty":null,"side":"buy","symbol":"AAD"}],"plan_hash":"591ad686d7757faa932d528efc916eacbfc39ddbd3ace176360dbd956d567f66","positions":{},"scores_as_of":"2026-08-24 14:05:02.061227+00:00","week":"2026-08-24"}', '0000000000000000000000000000000000000000000000000000000000000000', '4f100a50ff07a749d298dee8d3fa763b641240fbd7acb0d6474b7d60de7bd2f3');
INSERT INTO public.audit VALUES (2, '2026-08-24T14:05:03.068945+00:00', 'phase', '2026-08-24', '{"cash":"100000","equity":"100000","phase":"guard","plan_id":"2026-08-24-591ad686d775"}', '4f100a50ff07a749d298dee8d3fa763b641240fbd7acb0d6474b7d60de7bd2f3', '0a6e2d0ad8ddbbb9fc416fe341e9e6c842d43897ae0a91339b825cb26e47c4ff');
INSERT INTO public.audit VALUES (3, '2026-08-24T14:05:03.089881+00:00', 'phase', '2026-08-24', '{"cash":"100000","equity":"100000","phase":"recover","plan_id":"2026-08-24-591ad686d775"}', '0a6e2d0ad8ddbbb9fc416fe341e9e6c842d43897ae0a91339b825cb26e47c4ff', 'a0542e21073a932eb2d3c5d0fe346804f388ef465da6c06083fed7defce51c8a');
INSERT INTO public.audit VALUES (4, '2026-08-24T14:05:03.113781+00:00', 'phase', '2026-08-24', '{"cash":"100000","equity":"100000","phase":"buy","plan_id":"2026-08-24-591ad686d775"}', 'a0542e21073a932eb2d3c5d0fe346804f388ef465da6c06083fed7defce51c8a', '32ec8edf86dff9335d77378a851506295a6f0397c318eeba3252c0a99e36dc2a');
INSERT INTO public.audit VALUES (5, '2026-08-24T14:05:03.130802+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAA-buy-1","created_at":"2026-08-24T14:05:03.130780+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"25088.97","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAA","updated_at":"2026-08-24T14:05:03.130802+00:00","week":"2026-08-24"}', '32ec8edf86dff9335d77378a851506295a6f0397c318eeba3252c0a99e36dc2a', '5ff5f92c868ddb0ac9fa803d59a0cb2f3fcd84bba8981bf4696a74c21530932a');
INSERT INTO public.audit VALUES (6, '2026-08-24T14:05:03.142256+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","created_at":"2026-08-24T14:05:03.130780+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"25088.97","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAA","updated_at":"2026-08-24T14:05:03.142256+00:00","week":"2026-08-24"}', '5ff5f92c868ddb0ac9fa803d59a0cb2f3fcd84bba8981bf4696a74c21530932a', '4cd93caa9968b2fd49c0268bded87e3cf74c5b95a55a8f818988ca9cfda11c0b');
INSERT INTO public.audit VALUES (7, '2026-08-24T14:05:03.150470+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAB","updated_at":"2026-08-24T14:05:03.150470+00:00","week":"2026-08-24"}', '4cd93caa9968b2fd49c0268bded87e3cf74c5b95a55a8f818988ca9cfda11c0b', '72f2e2020e6f2b2019af30649f85e903bcdb41e63c1177f7f655e9d1afdeee2e');
INSERT INTO public.audit VALUES (8, '2026-08-24T14:05:03.159083+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAB","updated_at":"2026-08-24T14:05:03.159083+00:00","week":"2026-08-24"}', '72f2e2020e6f2b2019af30649f85e903bcdb41e63c1177f7f655e9d1afdeee2e', '7b53a7d00d36a002069a5e75cab19194a118ce628fef52db43481a5fc03bcd6e');
INSERT INTO public.audit VALUES (9, '2026-08-24T14:05:03.168464+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAC","updated_at":"2026-08-24T14:05:03.168464+00:00","week":"2026-08-24"}', '7b53a7d00d36a002069a5e75cab19194a118ce628fef52db43481a5fc03bcd6e', '2479676143488f6fa208d6f299b6c5cb2a81b453008191ca78dee7d4f4d477d3');
INSERT INTO public.audit VALUES (10, '2026-08-24T14:05:03.173644+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAC","updated_at":"2026-08-24T14:05:03.173644+00:00","week":"2026-08-24"}', '2479676143488f6fa208d6f299b6c5cb2a81b453008191ca78dee7d4f4d477d3', '6df415800bac46fecbdff103fdc2d86132f8114bf872fff14aec60f3639dc629');
INSERT INTO public.audit VALUES (11, '2026-08-24T14:05:03.179584+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":null,"client_order_id":"tokenomics-2026-08-24-AAD-buy-1","created_at":"2026-08-24T14:05:03.179563+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24786.02","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"intended","symbol":"AAD","updated_at":"2026-08-24T14:05:03.179584+00:00","week":"2026-08-24"}', '6df415800bac46fecbdff103fdc2d86132f8114bf872fff14aec60f3639dc629', '6bc6dd74d1c7c43652a4de36292d518aaa970c7a015d1fa7f36752cc00f63a3c');
INSERT INTO public.audit VALUES (12, '2026-08-24T14:05:03.189296+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","created_at":"2026-08-24T14:05:03.179563+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24786.02","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"pending_new","symbol":"AAD","updated_at":"2026-08-24T14:05:03.189296+00:00","week":"2026-08-24"}', '6bc6dd74d1c7c43652a4de36292d518aaa970c7a015d1fa7f36752cc00f63a3c', '01ab2b0a9b4a436da1e0c14d442d269ee82063a6534de49555782bf1ca4601f4');
INSERT INTO public.audit VALUES (13, '2026-08-24T14:05:03.194688+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","created_at":"2026-08-24T14:05:03.130780+00:00","filled_avg_price":"20.51","filled_qty":"1223.255485128","note":null,"notional":"25088.97","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAA","updated_at":"2026-08-24T14:05:03.194688+00:00","week":"2026-08-24"}', '01ab2b0a9b4a436da1e0c14d442d269ee82063a6534de49555782bf1ca4601f4', '4907f347c6371efe044f39c514671034936c885ef611f3a5d3fa0dcd2ee84734');
INSERT INTO public.audit VALUES (28, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","id":"20260824140503256::e43e8046-75a5-4f3f-9f00-430c48e895c3","price":"23.51","qty":"351.424925563","side":"buy","symbol":"AAD"}', '642f41362cb39ecab3aaf8f9c401d6eae2a10cf6fd96893146e1aa9a9a448512', '5148de931eb46fa5194924c137e2cbabd12c0ea27de6c1ece5ef863d1ed1b047');
INSERT INTO public.audit VALUES (14, '2026-08-24T14:05:03.197700+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":"21.51","filled_qty":"387.230125523","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"partially_filled","symbol":"AAB","updated_at":"2026-08-24T14:05:03.197700+00:00","week":"2026-08-24"}', '4907f347c6371efe044f39c514671034936c885ef611f3a5d3fa0dcd2ee84734', '73fadf144fb74cba00e1abc14517465692e8466346b7a578194c8c54b40407ab');
INSERT INTO public.audit VALUES (15, '2026-08-24T14:05:03.200862+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":null,"filled_qty":"0","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"new","symbol":"AAC","updated_at":"2026-08-24T14:05:03.200862+00:00","week":"2026-08-24"}', '73fadf144fb74cba00e1abc14517465692e8466346b7a578194c8c54b40407ab', '7f4d8d1abe72c3698ee93dee2e5f794028d401b7de1a2f4f53f82c7074708a36');
INSERT INTO public.audit VALUES (16, '2026-08-24T14:05:03.257021+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","created_at":"2026-08-24T14:05:03.150448+00:00","filled_avg_price":"21.51","filled_qty":"1161.691771269","note":null,"notional":"24987.99","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAB","updated_at":"2026-08-24T14:05:03.257021+00:00","week":"2026-08-24"}', '7f4d8d1abe72c3698ee93dee2e5f794028d401b7de1a2f4f53f82c7074708a36', 'a0a6482e010847d17eb67d2b8553c6e184ea47f9385a5ade9376318d935bc29e');
INSERT INTO public.audit VALUES (17, '2026-08-24T14:05:03.264229+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","created_at":"2026-08-24T14:05:03.168442+00:00","filled_avg_price":"22.51","filled_qty":"1105.597512215","note":null,"notional":"24887.00","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAC","updated_at":"2026-08-24T14:05:03.264229+00:00","week":"2026-08-24"}', 'a0a6482e010847d17eb67d2b8553c6e184ea47f9385a5ade9376318d935bc29e', '904d7682441f438e06f67228028d318989e8b927339057dbfed7354d9b9da1b0');
INSERT INTO public.audit VALUES (18, '2026-08-24T14:05:03.268200+00:00', 'order', '2026-08-24', '{"account":"PA0SANDBOX01","attempt":1,"broker_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","created_at":"2026-08-24T14:05:03.179563+00:00","filled_avg_price":"23.51","filled_qty":"1054.275627391","note":null,"notional":"24786.02","plan_id":"2026-08-24-591ad686d775","qty":null,"side":"buy","status":"filled","symbol":"AAD","updated_at":"2026-08-24T14:05:03.268200+00:00","week":"2026-08-24"}', '904d7682441f438e06f67228028d318989e8b927339057dbfed7354d9b9da1b0', 'e9cabfa6954c3299866055df3c8c004890f98b94b30533c0b3e49f983d5aae0f');
INSERT INTO public.audit VALUES (19, '2026-08-24T14:05:03.189169+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.189169+00:00","broker_order_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","id":"20260824140503189::6b0feda1-7432-429e-81ad-431daccd1b20","price":"20.51","qty":"407.751340809","side":"buy","symbol":"AAA"}', 'e9cabfa6954c3299866055df3c8c004890f98b94b30533c0b3e49f983d5aae0f', 'a5c97f80f54fcdac43f673060a0f1cda728cb3c92966af5079973d2d0792a605');
INSERT INTO public.audit VALUES (20, '2026-08-24T14:05:03.189169+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.189169+00:00","broker_order_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","id":"20260824140503189::d0b9fa10-6487-4b43-968d-12811d8f882d","price":"20.51","qty":"407.752315943","side":"buy","symbol":"AAA"}', 'a5c97f80f54fcdac43f673060a0f1cda728cb3c92966af5079973d2d0792a605', '33a1bbd5ca7f708422dc13acf8c3b6bd97a4137055c1c9b5ad7e342a27e56f3e');
INSERT INTO public.audit VALUES (21, '2026-08-24T14:05:03.194494+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.194494+00:00","broker_order_id":"38fd2945-925c-4e0a-a20b-e44289296a53","client_order_id":"tokenomics-2026-08-24-AAA-buy-1","id":"20260824140503194::c79189b6-f36a-4adc-9eed-d008d0e218bf","price":"20.51","qty":"407.751828376","side":"buy","symbol":"AAA"}', '33a1bbd5ca7f708422dc13acf8c3b6bd97a4137055c1c9b5ad7e342a27e56f3e', '18dd19dd7a24ebfb1b0152ebacac2739a7cb93f12d24a41e44858ca96fb9679e');
INSERT INTO public.audit VALUES (22, '2026-08-24T14:05:03.194494+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.194494+00:00","broker_order_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","id":"20260824140503194::1ea39075-bf09-49dc-a8bf-fe49632c7fd9","price":"21.51","qty":"387.230125523","side":"buy","symbol":"AAB"}', '18dd19dd7a24ebfb1b0152ebacac2739a7cb93f12d24a41e44858ca96fb9679e', '38d49b0dca30560a006be131742dcb1a6056d7488f3fcf710b32cd0677c29cab');
INSERT INTO public.audit VALUES (23, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","id":"20260824140503256::f1189e8f-6ed3-4dda-9006-c3c9d22e0571","price":"21.51","qty":"387.231055323","side":"buy","symbol":"AAB"}', '38d49b0dca30560a006be131742dcb1a6056d7488f3fcf710b32cd0677c29cab', '42416c633795339db3bd645db9315df77b132b45863175028508e3bc84d28784');
INSERT INTO public.audit VALUES (24, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"34814ade-877e-4c56-aa56-fa2e0e95a244","client_order_id":"tokenomics-2026-08-24-AAB-buy-1","id":"20260824140503256::a460c8ea-4100-4ff4-a4a3-1f4fbf3cc25c","price":"21.51","qty":"387.230590423","side":"buy","symbol":"AAB"}', '42416c633795339db3bd645db9315df77b132b45863175028508e3bc84d28784', '70c93ae9c60978822284033e144a89302b291330b2eff709cb26e00d07f0d7a8');
INSERT INTO public.audit VALUES (25, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","id":"20260824140503256::9b578b01-2505-4977-ad97-93bdcf05e31a","price":"22.51","qty":"368.532207907","side":"buy","symbol":"AAC"}', '70c93ae9c60978822284033e144a89302b291330b2eff709cb26e00d07f0d7a8', 'c01cf97a16065fda2ff39ba0e3880d6e2e6f6721d3828565599d2ac49bd40fba');
INSERT INTO public.audit VALUES (26, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","id":"20260824140503256::3b496b1b-55ea-4190-ab4a-d2eed3a73db4","price":"22.51","qty":"368.532652154","side":"buy","symbol":"AAC"}', 'c01cf97a16065fda2ff39ba0e3880d6e2e6f6721d3828565599d2ac49bd40fba', 'f445e57c0be52c3a8da79e11c4a71f3e4302fec0ebd855d0f95b7d9b8bc3aef6');
INSERT INTO public.audit VALUES (27, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"135a28a6-4b35-4f8e-94ae-594fc9c32051","client_order_id":"tokenomics-2026-08-24-AAC-buy-1","id":"20260824140503256::b53dd144-361d-47b9-b947-8ccf2c66ff06","price":"22.51","qty":"368.532652154","side":"buy","symbol":"AAC"}', 'f445e57c0be52c3a8da79e11c4a71f3e4302fec0ebd855d0f95b7d9b8bc3aef6', '642f41362cb39ecab3aaf8f9c401d6eae2a10cf6fd96893146e1aa9a9a448512');
INSERT INTO public.audit VALUES (29, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","id":"20260824140503256::33edc372-be98-4903-912b-6f443c198a77","price":"23.51","qty":"351.425350914","side":"buy","symbol":"AAD"}', '5148de931eb46fa5194924c137e2cbabd12c0ea27de6c1ece5ef863d1ed1b047', '987e82d28f37dd2b0a877ab94d58ad959a545fa475404739f9e70a2527073e09');
INSERT INTO public.audit VALUES (30, '2026-08-24T14:05:03.256472+00:00', 'fill', '2026-08-24', '{"account":"PA0SANDBOX01","at":"2026-08-24T14:05:03.256472+00:00","broker_order_id":"96677af0-95c3-4a44-b13a-bbf52a588e71","client_order_id":"tokenomics-2026-08-24-AAD-buy-1","id":"20260824140503256::3a168a95-819c-4f46-998b-38ae22a13bd2","price":"23.51","qty":"351.425350914","side":"buy","symbol":"AAD"}', '987e82d28f37dd2b0a877ab94d58ad959a545fa475404739f9e70a2527073e09', 'e0091995e1a6987ab7d7ac473c3a89c97a6e2d835d7df0fa0fb5931288ea1758');
INSERT INTO public.audit VALUES (31, '2026-08-24T14:05:03.288418+00:00', 'reconciliation', '2026-08-24', '{"cash_expected":"250.02","cash_found":"250.02","fills":12,"flaws":[],"plan_id":"2026-08-24-591ad686d775","positions":4}', 'e0091995e1a6987ab7d7ac473c3a89c97a6e2d835d7df0fa0fb5931288ea1758', '2e1d83854d32aca5a2e95e6264ecb4a0e9cba61cf61bf2ea8d2530f978e67839');
INSERT INTO public.audit VALUES (32, '2026-08-24T15:00:00.000000+00:00', 'halt', '2026-08-24', '{"by":"ann","reason":"before the holidays"}', '2e1d83854d32aca5a2e95e6264ecb4a0e9cba61cf61bf2ea8d2530f978e67839', 'f8157e7fc0431a0453357032e4aea4877cf313e47da55c656e113aa659faa278');
INSERT INTO public.audit VALUES (33, '2026-08-24T16:00:00.000000+00:00', 'resume', '2026-08-24', '{"by":"ann","reason":"back again"}', 'f8157e7fc0431a0453357032e4aea4877cf313e47da55c656e113aa659faa278', 'c7e44c084c452b16cf1168b952236cdaad10ebcb7ea27530130c1cc7b4421108');
INSERT INTO public.audit VALUES (34, '2026-08-24T16:05:00.000000+00:00', 'approval', '2026-08-24', '{"by":"ann","plan_hash":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","plan_id":"2026-08-24-0123456789ab"}', 'c7e44c084c452b16cf1168b952236cdaad10ebcb7ea27530130c1cc7b4421108', 'b458dd31e31ab4263309f6d662429d48e66dc7b82559a0e6ae1c23b9071bdd5c');


--
-- Data for Name: audit_head; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.audit_head VALUES (1, 34, 'b458dd31e31ab4263309f6d662429d48e66dc7b82559a0e6ae1c23b9071bdd5c');


--
-- Data for Name: backtest; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: backups; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: daily_bars; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: equity_marks; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.equity_marks VALUES (1, 'PA0SANDBOX01', '2026-08-24 14:05:02.815647+00', '100000');
INSERT INTO public.equity_marks VALUES (2, 'PA0SANDBOX01', '2026-08-24 14:05:03.077952+00', '100000');
INSERT INTO public.equity_marks VALUES (3, 'PA0SANDBOX01', '2026-08-24 14:05:03.106396+00', '100000');


--
-- Data for Name: fills; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.fills VALUES ('20260824140503189::6b0feda1-7432-429e-81ad-431daccd1b20', '38fd2945-925c-4e0a-a20b-e44289296a53', 'tokenomics-2026-08-24-AAA-buy-1', 'PA0SANDBOX01', 'AAA', 'buy', '407.751340809', '20.51', '2026-08-24 14:05:03.189169+00');
INSERT INTO public.fills VALUES ('20260824140503189::d0b9fa10-6487-4b43-968d-12811d8f882d', '38fd2945-925c-4e0a-a20b-e44289296a53', 'tokenomics-2026-08-24-AAA-buy-1', 'PA0SANDBOX01', 'AAA', 'buy', '407.752315943', '20.51', '2026-08-24 14:05:03.189169+00');
INSERT INTO public.fills VALUES ('20260824140503194::c79189b6-f36a-4adc-9eed-d008d0e218bf', '38fd2945-925c-4e0a-a20b-e44289296a53', 'tokenomics-2026-08-24-AAA-buy-1', 'PA0SANDBOX01', 'AAA', 'buy', '407.751828376', '20.51', '2026-08-24 14:05:03.194494+00');
INSERT INTO public.fills VALUES ('20260824140503194::1ea39075-bf09-49dc-a8bf-fe49632c7fd9', '34814ade-877e-4c56-aa56-fa2e0e95a244', 'tokenomics-2026-08-24-AAB-buy-1', 'PA0SANDBOX01', 'AAB', 'buy', '387.230125523', '21.51', '2026-08-24 14:05:03.194494+00');
INSERT INTO public.fills VALUES ('20260824140503256::f1189e8f-6ed3-4dda-9006-c3c9d22e0571', '34814ade-877e-4c56-aa56-fa2e0e95a244', 'tokenomics-2026-08-24-AAB-buy-1', 'PA0SANDBOX01', 'AAB', 'buy', '387.231055323', '21.51', '2026-08-24 14:05:03.256472+00');
INSERT INTO public.fills VALUES ('20260824140503256::a460c8ea-4100-4ff4-a4a3-1f4fbf3cc25c', '34814ade-877e-4c56-aa56-fa2e0e95a244', 'tokenomics-2026-08-24-AAB-buy-1', 'PA0SANDBOX01', 'AAB', 'buy', '387.230590423', '21.51', '2026-08-24 14:05:03.256472+00');
INSERT INTO public.fills VALUES ('20260824140503256::9b578b01-2505-4977-ad97-93bdcf05e31a', '135a28a6-4b35-4f8e-94ae-594fc9c32051', 'tokenomics-2026-08-24-AAC-buy-1', 'PA0SANDBOX01', 'AAC', 'buy', '368.532207907', '22.51', '2026-08-24 14:05:03.256472+00');
INSERT INTO public.fills VALUES ('20260824140503256::3b496b1b-55ea-4190-ab4a-d2eed3a73db4', '135a28a6-4b35-4f8e-94ae-594fc9c32051', 'tokenomics-2026-08-24-AAC-buy-1', 'PA0SANDBOX01', 'AAC', 'buy', '368.532652154', '22.51', '2026-08-24 14:05:03.256472+00');
INSERT INTO public.fills VALUES ('20260824140503256::b53dd144-361d-47b9-b947-8ccf2c66ff06', '135a28a6-4b35-4f8e-94ae-594fc9c32051', 'tokenomics-2026-08-24-AAC-buy-1', 'PA0SANDBOX01', 'AAC', 'buy', '368.532652154', '22.51', '2026-08-24 14:05:03.256472+00');
INSERT INTO public.fills VALUES ('20260824140503256::e43e8046-75a5-4f3f-9f00-430c48e895c3', '96677af0-95c3-4a44-b13a-bbf52a588e71', 'tokenomics-2026-08-24-AAD-buy-1', 'PA0SANDBOX01', 'AAD', 'buy', '351.424925563', '23.51', '2026-08-24 14:05:03.256472+00');
INSERT INTO public.fills VALUES ('20260824140503256::33edc372-be98-4903-912b-6f443c198a77', '96677af0-95c3-4a44-b13a-bbf52a588e71', 'tokenomics-2026-08-24-AAD-buy-1', 'PA0SANDBOX01', 'AAD', 'buy', '351.425350914', '23.51', '2026-08-24 14:05:03.256472+00');
INSERT INTO public.fills VALUES ('20260824140503256::3a168a95-819c-4f46-998b-38ae22a13bd2', '96677af0-95c3-4a44-b13a-bbf52a588e71', 'tokenomics-2026-08-24-AAD-buy-1', 'PA0SANDBOX01', 'AAD', 'buy', '351.425350914', '23.51', '2026-08-24 14:05:03.256472+00');


--
-- Data for Name: financials; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.financials VALUES ('AAA', '2026-08-24 14:05:01.772473+00', 20, 0.5, 9, 12, 6.833333333333333, 90000, NULL);
INSERT INTO public.financials VALUES ('AAB', '2026-08-24 14:05:01.775948+00', 19.666666666666668, 0.5, 8.75, 12, 7.166666666666667, 89999, NULL);
INSERT INTO public.financials VALUES ('AAC', '2026-08-24 14:05:01.796812+00', 19.333333333333332, 0.5, 8.5, 12, 7.5, 89998, NULL);
INSERT INTO public.financials VALUES ('AAE', '2026-08-24 14:05:01.79921+00', 18.666666666666668, 0.5, 8, 12, 8.166666666666666, 89996, NULL);
INSERT INTO public.financials VALUES ('AAF', '2026-08-24 14:05:01.801103+00', 18.333333333333332, 0.5, 7.75, 12, 8.5, 89995, NULL);
INSERT INTO public.financials VALUES ('AAD', '2026-08-24 14:05:01.811672+00', 19, 0.5, 8.25, 12, 7.833333333333333, 89997, NULL);
INSERT INTO public.financials VALUES ('AAH', '2026-08-24 14:05:01.813997+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.financials VALUES ('AAG', '2026-08-24 14:05:01.820712+00', 18, 0.5, 7.5, 12, 8.833333333333334, 89994, NULL);


--
-- Data for Name: listings; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.listings VALUES (1, 0, 'AAA', 'AAA Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBGD3788AC18', 'BBGABCA78716');
INSERT INTO public.listings VALUES (1, 1, 'AAB', 'AAB Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBGE226198D5', 'BBGB9E239D72');
INSERT INTO public.listings VALUES (1, 2, 'AAC', 'AAC Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBG8E9CB65FD', 'BBGFDE672016');
INSERT INTO public.listings VALUES (1, 3, 'AAD', 'AAD Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBG09BAF8EFA', 'BBGBA9AB944F');
INSERT INTO public.listings VALUES (1, 4, 'AAE', 'AAE Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBG04DE522C9', 'BBG0B0C3F6BF');
INSERT INTO public.listings VALUES (1, 5, 'AAF', 'AAF Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBG05763373C', 'BBG5C2531957');
INSERT INTO public.listings VALUES (1, 6, 'AAG', 'AAG Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBGF2FED793F', 'BBG39324BBA8');
INSERT INTO public.listings VALUES (1, 7, 'AAH', 'AAH Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBG21EF0B9B7', 'BBGF10111896');
INSERT INTO public.listings VALUES (1, 8, 'AAI', 'AAI Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBG948DC99DB', 'BBG44CA4BE0E');
INSERT INTO public.listings VALUES (1, 9, 'AAJ', 'AAJ Corp Common Stock', 'Common Stock', 'XNYS', 'USD', 'BBG40B8D818C', 'BBG000420B57');


--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.orders VALUES (6, 0, 'tokenomics-2026-08-24-AAA-buy-1', 'AAA', 'buy', NULL, '25088.97', 'filled', '1223.255485128', '20.51', NULL);
INSERT INTO public.orders VALUES (6, 1, 'tokenomics-2026-08-24-AAB-buy-1', 'AAB', 'buy', NULL, '24987.99', 'filled', '1161.691771269', '21.51', NULL);
INSERT INTO public.orders VALUES (6, 2, 'tokenomics-2026-08-24-AAC-buy-1', 'AAC', 'buy', NULL, '24887.00', 'filled', '1105.597512215', '22.51', NULL);
INSERT INTO public.orders VALUES (6, 3, 'tokenomics-2026-08-24-AAD-buy-1', 'AAD', 'buy', NULL, '24786.02', 'filled', '1054.275627391', '23.51', NULL);


--
-- Data for Name: orders_ledger; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.orders_ledger VALUES ('tokenomics-2026-08-24-AAA-buy-1', 'PA0SANDBOX01', '2026-08-24-591ad686d775', '2026-08-24', 'AAA', 'buy', 1, NULL, '25088.97', 'filled', '38fd2945-925c-4e0a-a20b-e44289296a53', '1223.255485128', '20.51', NULL, '2026-08-24 14:05:03.13078+00', '2026-08-24 14:05:03.194688+00', 'fundamentals', '2026-08-24');
INSERT INTO public.orders_ledger VALUES ('tokenomics-2026-08-24-AAB-buy-1', 'PA0SANDBOX01', '2026-08-24-591ad686d775', '2026-08-24', 'AAB', 'buy', 1, NULL, '24987.99', 'filled', '34814ade-877e-4c56-aa56-fa2e0e95a244', '1161.691771269', '21.51', NULL, '2026-08-24 14:05:03.150448+00', '2026-08-24 14:05:03.257021+00', 'fundamentals', '2026-08-24');
INSERT INTO public.orders_ledger VALUES ('tokenomics-2026-08-24-AAC-buy-1', 'PA0SANDBOX01', '2026-08-24-591ad686d775', '2026-08-24', 'AAC', 'buy', 1, NULL, '24887.00', 'filled', '135a28a6-4b35-4f8e-94ae-594fc9c32051', '1105.597512215', '22.51', NULL, '2026-08-24 14:05:03.168442+00', '2026-08-24 14:05:03.264229+00', 'fundamentals', '2026-08-24');
INSERT INTO public.orders_ledger VALUES ('tokenomics-2026-08-24-AAD-buy-1', 'PA0SANDBOX01', '2026-08-24-591ad686d775', '2026-08-24', 'AAD', 'buy', 1, NULL, '24786.02', 'filled', '96677af0-95c3-4a44-b13a-bbf52a588e71', '1054.275627391', '23.51', NULL, '2026-08-24 14:05:03.179563+00', '2026-08-24 14:05:03.2682+00', 'fundamentals', '2026-08-24');


--
-- Data for Name: portfolio_report; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.portfolio_report VALUES (7, 0, 'AAA', 1223.255485128, 20.5, 25076.737445124, 0.25088139553984984, 0.25151859544617267, 0.0006371999063228273);
INSERT INTO public.portfolio_report VALUES (7, 1, 'AAB', 1161.691771269, 21.5, 24976.3730822835, 0.24987729556603971, 0.2505061984820573, 0.0006289029160175819);
INSERT INTO public.portfolio_report VALUES (7, 2, 'AAC', 1105.597512215, 22.5, 24875.9440248375, 0.24887254835201553, 0.24949380151794187, 0.0006212531659263443);
INSERT INTO public.portfolio_report VALUES (7, 3, 'AAD', 1054.275627391, 23.5, 24775.4772436885, 0.24786742372943593, 0.24848140455382645, 0.0006139808243905143);


--
-- Data for Name: profiles; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.profiles VALUES ('AAB', '2026-08-24 14:05:01.293323+00', 'AAB Corp', 'USD', 89999, 4186, NULL);
INSERT INTO public.profiles VALUES ('AAA', '2026-08-24 14:05:01.294389+00', 'AAA Corp', 'USD', 90000, 4390.243902439024, NULL);
INSERT INTO public.profiles VALUES ('AAC', '2026-08-24 14:05:01.30588+00', 'AAC Corp', 'USD', 89998, 3999.911111111111, NULL);
INSERT INTO public.profiles VALUES ('AAD', '2026-08-24 14:05:01.308807+00', 'AAD Corp', 'USD', 89997, 3829.659574468085, NULL);
INSERT INTO public.profiles VALUES ('AAE', '2026-08-24 14:05:01.309206+00', 'AAE Corp', 'USD', 89996, 3673.3061224489797, NULL);
INSERT INTO public.profiles VALUES ('AAH', '2026-08-24 14:05:01.313626+00', 'AAH Corp', 'USD', 89993, 3272.4727272727273, NULL);
INSERT INTO public.profiles VALUES ('AAG', '2026-08-24 14:05:01.313953+00', 'AAG Corp', 'USD', 89994, 3396, NULL);
INSERT INTO public.profiles VALUES ('AAF', '2026-08-24 14:05:01.314146+00', 'AAF Corp', 'USD', 89995, 3529.2156862745096, NULL);
INSERT INTO public.profiles VALUES ('AAI', '2026-08-24 14:05:01.320811+00', 'AAI Corp', 'USD', 89992, 3157.6140350877195, NULL);
INSERT INTO public.profiles VALUES ('AAJ', '2026-08-24 14:05:01.321046+00', 'AAJ Corp', 'USD', 89991, 3050.5423728813557, NULL);


--
-- Data for Name: schema_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.schema_version VALUES (1, 5);


--
-- Data for Name: scores; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.scores VALUES (3, 0, 'AAA', 66.85416666666666, NULL, 66.66666666666667, 83.33333333333333, 50.625, 20, 0.5, 9, 12, 6.833333333333333, 90000, '2026-08-24 14:05:01.772473+00', NULL);
INSERT INTO public.scores VALUES (3, 1, 'AAB', 66.58506944444444, NULL, 66.11111111111111, 83.33333333333333, 50.46875, 19.666666666666668, 0.5, 8.75, 12, 7.166666666666667, 89999, '2026-08-24 14:05:01.775948+00', NULL);
INSERT INTO public.scores VALUES (3, 2, 'AAC', 66.31597222222223, NULL, 65.55555555555556, 83.33333333333333, 50.3125, 19.333333333333332, 0.5, 8.5, 12, 7.5, 89998, '2026-08-24 14:05:01.796812+00', NULL);
INSERT INTO public.scores VALUES (3, 3, 'AAD', 66.046875, NULL, 65, 83.33333333333333, 50.15625, 19, 0.5, 8.25, 12, 7.833333333333333, 89997, '2026-08-24 14:05:01.811672+00', NULL);
INSERT INTO public.scores VALUES (3, 4, 'AAE', 65.77777777777777, NULL, 64.44444444444446, 83.33333333333333, 50, 18.666666666666668, 0.5, 8, 12, 8.166666666666666, 89996, '2026-08-24 14:05:01.79921+00', NULL);
INSERT INTO public.scores VALUES (3, 5, 'AAF', 65.50868055555556, NULL, 63.888888888888886, 83.33333333333333, 49.84375, 18.333333333333332, 0.5, 7.75, 12, 8.5, 89995, '2026-08-24 14:05:01.801103+00', NULL);
INSERT INTO public.scores VALUES (3, 6, 'AAG', 65.23958333333333, NULL, 63.333333333333336, 83.33333333333333, 49.6875, 18, 0.5, 7.5, 12, 8.833333333333334, 89994, '2026-08-24 14:05:01.820712+00', NULL);
INSERT INTO public.scores VALUES (3, 7, 'AAH', NULL, 'ROE is missing; debt/equity is missing; revenue and EPS growth are both missing', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 89993, '2026-08-24 14:05:01.813997+00', NULL);


--
-- Data for Name: snapshots; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.snapshots VALUES (1, 'listings', '', '2026-08-24 14:05:00.486913+00', 'b236499a-1691-4a55-a4e7-d08c145e0c2f', 10, '{}');
INSERT INTO public.snapshots VALUES (2, 'universe', '', '2026-08-24 14:05:00.679897+00', 'b236499a-1691-4a55-a4e7-d08c145e0c2f', 8, '{"dropped": {"AAI": "below the 8 largest by market cap", "AAJ": "below the 8 largest by market cap"}, "candidates": 10, "asked": 10}');
INSERT INTO public.snapshots VALUES (3, 'scores', '', '2026-08-24 14:05:02.061227+00', '3685f5a8-e4c4-4769-80e6-fdecfb73c1cf', 8, '{"universe_as_of": "2026-08-24T14:05:00.679897+00:00", "sweep": 1}');
INSERT INTO public.snapshots VALUES (4, 'target_weights', '2026-08-24', '2026-08-24 14:05:02.417319+00', '223a88c5-8b32-4631-ae95-b861570b01c2', 4, '{"scores_as_of": "2026-08-24T14:05:02.061227+00:00", "cash_weight": 1.7763568394002505e-15}');
INSERT INTO public.snapshots VALUES (5, 'trade_plan', '2026-08-24', '2026-08-24 14:05:02.586086+00', '223a88c5-8b32-4631-ae95-b861570b01c2', 4, '{"plan": {"account": "PA0SANDBOX01", "cash": "100000", "created_at": "2026-08-24 14:05:02.586086+00:00", "equity": "100000", "inputs_hash": "cd34a89060b201231dfaf03594367f557e39c0730692dd4ea4a30c57b2964d5c", "orders": [{"exit": false, "notional": "25088.97", "price": "20.5", "qty": null, "side": "buy", "symbol": "AAA"}, {"exit": false, "notional": "24987.99", "price": "21.5", "qty": null, "side": "buy", "symbol": "AAB"}, {"exit": false, "notional": "24887.00", "price": "22.5", "qty": null, "side": "buy", "symbol": "AAC"}, {"exit": false, "notional": "24786.02", "price": "23.5", "qty": null, "side": "buy", "symbol": "AAD"}], "plan_hash": "591ad686d7757faa932d528efc916eacbfc39ddbd3ace176360dbd956d567f66", "positions": {}, "scores_as_of": "2026-08-24 14:05:02.061227+00:00", "week": "2026-08-24"}}');
INSERT INTO public.snapshots VALUES (6, 'orders', '2026-08-24', '2026-08-24 14:05:03.293773+00', '223a88c5-8b32-4631-ae95-b861570b01c2', 4, '{"plan_id": "2026-08-24-591ad686d775", "skipped": {}, "stuck": [], "reconciliation_flaws": []}');
INSERT INTO public.snapshots VALUES (7, 'portfolio_report', '2026-08-24', '2026-08-24 14:05:03.381368+00', '223a88c5-8b32-4631-ae95-b861570b01c2', 4, '{"account": "PA0SANDBOX01", "equity": "99954.5517959335", "cash": "250.02"}');


--
-- Data for Name: sweeps; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.sweeps VALUES (1, '2026-08-24 14:05:01.698881+00', '2026-08-19 14:05:01.698881+00', '2026-08-24 14:05:01.824165+00', '32f6f860-0bb4-46f4-b229-065e7f7a6b98', 8, '{}');


--
-- Data for Name: target_weights; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.target_weights VALUES (4, 0, 'AAA', 0.25151859544617267, 66.85416666666666, 90000, 1);
INSERT INTO public.target_weights VALUES (4, 1, 'AAB', 0.2505061984820573, 66.58506944444444, 89999, 2);
INSERT INTO public.target_weights VALUES (4, 2, 'AAC', 0.24949380151794187, 66.31597222222223, 89998, 3);
INSERT INTO public.target_weights VALUES (4, 3, 'AAD', 0.24848140455382645, 66.046875, 89997, 4);


--
-- Data for Name: trade_plan; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.trade_plan VALUES (5, 0, 'AAA', 1, 'buy', NULL, '25088.97', '20.5', 0, 25088.979895755725, 0, 0.25088979895755725, 0.25088979895755725, false, NULL);
INSERT INTO public.trade_plan VALUES (5, 1, 'AAB', 2, 'buy', NULL, '24987.99', '21.5', 0, 24987.993298585217, 0, 0.24987993298585215, 0.24987993298585215, false, NULL);
INSERT INTO public.trade_plan VALUES (5, 2, 'AAC', 3, 'buy', NULL, '24887.00', '22.5', 0, 24887.006701414703, 0, 0.24887006701414702, 0.24887006701414702, false, NULL);
INSERT INTO public.trade_plan VALUES (5, 3, 'AAD', 4, 'buy', NULL, '24786.02', '23.5', 0, 24786.020104244188, 0, 0.24786020104244189, 0.24786020104244189, false, NULL);


--
-- Data for Name: tuning; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: universe; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.universe VALUES (2, 0, 'AAA', 'AAA Corp', 'NYSE', 90000, 4390.243902439024, 20.5, 20.5, 1, NULL);
INSERT INTO public.universe VALUES (2, 1, 'AAB', 'AAB Corp', 'NYSE', 89999, 4186, 21.5, 21.5, 2, NULL);
INSERT INTO public.universe VALUES (2, 2, 'AAC', 'AAC Corp', 'NYSE', 89998, 3999.911111111111, 22.5, 22.5, 3, NULL);
INSERT INTO public.universe VALUES (2, 3, 'AAD', 'AAD Corp', 'NYSE', 89997, 3829.659574468085, 23.5, 23.5, 4, NULL);
INSERT INTO public.universe VALUES (2, 4, 'AAE', 'AAE Corp', 'NYSE', 89996, 3673.3061224489797, 24.5, 24.5, 5, NULL);
INSERT INTO public.universe VALUES (2, 5, 'AAF', 'AAF Corp', 'NYSE', 89995, 3529.2156862745096, 25.5, 25.5, 6, NULL);
INSERT INTO public.universe VALUES (2, 6, 'AAG', 'AAG Corp', 'NYSE', 89994, 3396, 26.5, 26.5, 7, NULL);
INSERT INTO public.universe VALUES (2, 7, 'AAH', 'AAH Corp', 'NYSE', 89993, 3272.4727272727273, 27.5, 27.5, 8, NULL);


--
-- Name: backups_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.backups_id_seq', 1, false);


--
-- Name: equity_marks_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.equity_marks_id_seq', 3, true);


--
-- Name: snapshots_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.snapshots_id_seq', 7, true);


--
-- Name: sweeps_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.sweeps_id_seq', 1, true);


--
-- Name: alerts alerts_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (key);


--
-- Name: audit_head audit_head_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit_head
    ADD CONSTRAINT audit_head_pkey PRIMARY KEY (id);


--
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);


--
-- Name: backtest backtest_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.backtest
    ADD CONSTRAINT backtest_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: backups backups_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.backups
    ADD CONSTRAINT backups_pkey PRIMARY KEY (id);


--
-- Name: daily_bars daily_bars_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.daily_bars
    ADD CONSTRAINT daily_bars_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: equity_marks equity_marks_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.equity_marks
    ADD CONSTRAINT equity_marks_pkey PRIMARY KEY (id);


--
-- Name: fills fills_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.fills
    ADD CONSTRAINT fills_pkey PRIMARY KEY (id);


--
-- Name: financials financials_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.financials
    ADD CONSTRAINT financials_pkey PRIMARY KEY (symbol, known_at);


--
-- Name: listings listings_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.listings
    ADD CONSTRAINT listings_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: orders_ledger orders_ledger_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders_ledger
    ADD CONSTRAINT orders_ledger_pkey PRIMARY KEY (client_order_id);


--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: portfolio_report portfolio_report_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.portfolio_report
    ADD CONSTRAINT portfolio_report_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: profiles profiles_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT profiles_pkey PRIMARY KEY (symbol, known_at);


--
-- Name: schema_version schema_version_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (id);


--
-- Name: scores scores_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.scores
    ADD CONSTRAINT scores_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: snapshots snapshots_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (id);


--
-- Name: sweeps sweeps_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.sweeps
    ADD CONSTRAINT sweeps_pkey PRIMARY KEY (id);


--
-- Name: target_weights target_weights_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.target_weights
    ADD CONSTRAINT target_weights_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: trade_plan trade_plan_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.trade_plan
    ADD CONSTRAINT trade_plan_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: tuning tuning_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tuning
    ADD CONSTRAINT tuning_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: universe universe_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.universe
    ADD CONSTRAINT universe_pkey PRIMARY KEY (snapshot_id, "position");


--
-- Name: audit_by_kind; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_by_kind ON public.audit USING btree (kind, seq);


--
-- Name: audit_by_week; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_by_week ON public.audit USING btree (week, seq);


--
-- Name: fills_by_account; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX fills_by_account ON public.fills USING btree (account, at);


--
-- Name: fills_by_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX fills_by_order ON public.fills USING btree (account, broker_order_id);


--
-- Name: ix_equity_marks_account; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_equity_marks_account ON public.equity_marks USING btree (account);


--
-- Name: orders_by_period; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_by_period ON public.orders_ledger USING btree (account, sleeve, period);


--
-- Name: orders_by_week; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX orders_by_week ON public.orders_ledger USING btree (account, week);


--
-- Name: snapshots_by_age; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX snapshots_by_age ON public.snapshots USING btree (asset, as_of, id);


--
-- Name: snapshots_by_asset; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX snapshots_by_asset ON public.snapshots USING btree (asset, partition, as_of);


--
-- PostgreSQL database dump complete
--

