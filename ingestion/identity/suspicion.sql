-- Profiles that are most likely wrong, and why: what a person should look at first. It reads what stands now and changes
-- nothing. Each reason is a function that gives at most one row a profile: the clearest example of it. What costs much
-- looks only at profiles that hold rivals: two identifiers of a kind of which people have one, most of the time.

-- Kinds of browsers, apps and devices: they come and go, change hands, and say little of who somebody is.
create or replace function identity.client_kinds() returns smallint[] language sql stable as $$
    select array(select kind_id from identity.kinds where kind in ('anonymous_id', 'device_id', 'advertising_id'))
$$;

create or replace function identity.rival_profiles() returns integer[]
language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    client_kinds smallint[] := identity.client_kinds();
begin
    return array(
        select distinct profile_id
        from (
            select members.profile_id
            from identity.members inner join identity.identifiers using (identifier_id)
            where members.is_named and identifiers.kind_id <> all(client_kinds)
            group by members.profile_id, identifiers.kind_id
            having count(*) > 1
        ) as found
    );
end
$$;

-- The links in force inside some profiles. `cut_no` numbers the records that are the only ones to say something, and said
-- it once: without that record (all links of one number) the pair would not be linked. Null: it was said again.
create or replace function identity.links_within(wanted integer[])
returns table (
    profile_id integer, low_id integer, high_id integer, low_kind_id smallint, high_kind_id smallint, source text,
    record text, cut_no bigint
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
declare
    joining_kinds smallint[] := array(select kind_id from identity.kinds where is_joining);
    parted bigint[] := identity.parted_pairs();
begin
    return query
    with inside as (
        select
            low.profile_id, links.low_id, links.high_id, links.low_kind_id, links.high_kind_id, links.source,
            coalesce(nullif(links.record_key, ''), links.evidence) as record,
            links.record_key <> '' or links.first_seen_at = links.last_seen_at as is_once,
            count(*) over (partition by links.low_id, links.high_id) as said_count
        from identity.members as low
        inner join identity.links on links.low_id = low.identifier_id
        inner join identity.members as high
            on high.identifier_id = links.high_id and high.profile_id = low.profile_id
        where low.profile_id = any(wanted) and links.low_id <> links.high_id and links.retracted_at is null
            and links.low_kind_id = any(joining_kinds) and links.high_kind_id = any(joining_kinds)
            and ((links.low_id::bigint << 32) | links.high_id) <> all(parted)
    )
    select
        inside.profile_id, inside.low_id, inside.high_id, inside.low_kind_id, inside.high_kind_id, inside.source,
        inside.record,
        case
            when inside.is_once and inside.said_count = 1
                then dense_rank() over (order by inside.profile_id, inside.source, inside.record)
        end
    from inside;
end
$$;

-- Profiles that come apart. Held together by one record: without it there are two parts, each with more than one identifier
-- and with rivals in the other. Joined by clients only: rivals that nothing but a browser, an app or a device joins.
create or replace function identity.loose_profiles(rivals integer[])
returns table (
    profile_id integer, reason text, low_id integer, high_id integer, source text, evidence text, found_count integer,
    detail text
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB'
-- nothing is known here of how many rows each step hands on, and loops in loops would take the place of every join
set enable_nestloop = off as $$
#variable_conflict use_column
declare
    client_kinds smallint[] := identity.client_kinds();
begin
    return query
    with recursive inside as materialized (
        select * from identity.links_within(rivals)
    ),
    named as materialized (
        select members.profile_id, members.identifier_id as id, identifiers.kind_id,
            identifiers.kind_id = any(client_kinds) as is_client
        from identity.members inner join identity.identifiers using (identifier_id)
        where members.profile_id = any(rivals) and members.is_named
    ),
    steps as materialized (
        select low_id as from_id, high_id as to_id, cut_no, profile_id from inside
        union all
        select high_id, low_id, cut_no, profile_id from inside
    ),
    cuts as materialized (
        select distinct profile_id, cut_no from inside where cut_no is not null
    ),
    -- all that the profile's oldest identifier is still joined with when the record is left out
    reached as (
        select cut_no, profile_id as id from cuts
        union
        select reached.cut_no, steps.to_id
        from reached inner join steps on steps.from_id = reached.id
        where steps.cut_no is distinct from reached.cut_no
    ),
    parted as materialized (
        select cuts.cut_no, named.id, named.kind_id, named.is_client, reached.id is not null as is_near
        from cuts
        inner join named on named.profile_id = cuts.profile_id
        left join reached on reached.cut_no = cuts.cut_no and reached.id = named.id
    ),
    sizes as materialized (
        select cut_no, count(*) filter (where is_near) as near_count, count(*) filter (where not is_near) as far_count,
            array_agg(kind_id) filter (where is_near and not is_client) as near_kinds
        from parted
        group by cut_no
        having count(*) filter (where is_near) > 1 and count(*) filter (where not is_near) > 1
    ),
    bridges as (
        select distinct sizes.cut_no, sizes.near_count, sizes.far_count
        from sizes
        inner join parted as rival on rival.cut_no = sizes.cut_no
        -- the rival is not alone over there: another record names it with something
        inner join steps on steps.from_id = rival.id and steps.cut_no is distinct from sizes.cut_no
        where not rival.is_near and not rival.is_client and rival.kind_id = any(sizes.near_kinds)
    ),
    bridged as (
        select distinct on (inside.profile_id)
            inside.profile_id, 'held together by one record', inside.low_id, inside.high_id, inside.source,
            inside.record, least(bridges.near_count, bridges.far_count)::integer,
            format('without this record: parts of %s and %s identifiers', bridges.near_count, bridges.far_count)
        from bridges
        inner join inside on inside.cut_no = bridges.cut_no
        inner join parted as low on low.cut_no = inside.cut_no and low.id = inside.low_id
        inner join parted as high on high.cut_no = inside.cut_no and high.id = inside.high_id
        where low.is_near <> high.is_near
        order by inside.profile_id, least(bridges.near_count, bridges.far_count) desc, inside.record, inside.low_id,
            inside.high_id
    ),
    strong_steps as materialized (
        select distinct steps.from_id, steps.to_id
        from steps
        inner join named as one on one.id = steps.from_id and not one.is_client
        inner join named as other on other.id = steps.to_id and not other.is_client
    ),
    strongly_reached as (
        select id as start_id, id from named where not is_client
        union
        select strongly_reached.start_id, strong_steps.to_id
        from strongly_reached inner join strong_steps on strong_steps.from_id = strongly_reached.id
    ),
    parts as materialized (
        select named.profile_id, named.kind_id, named.id, min(strongly_reached.start_id) as part_id
        from named inner join strongly_reached on strongly_reached.id = named.id
        group by named.profile_id, named.kind_id, named.id
    ),
    apart as (
        select profile_id, count(distinct part_id) as part_count
        from parts
        where profile_id in (
            select profile_id from parts group by profile_id, kind_id having count(distinct part_id) > 1
        )
        group by profile_id
    ),
    weakly_joined as (
        select distinct on (apart.profile_id)
            apart.profile_id, 'joined by clients only', inside.low_id, inside.high_id, inside.source, inside.record,
            apart.part_count::integer,
            format('%s parts with ids of their own, joined by a browser or device only', apart.part_count)
        from apart
        inner join inside on inside.profile_id = apart.profile_id
        where (inside.low_kind_id = any(client_kinds)) <> (inside.high_kind_id = any(client_kinds))
        order by apart.profile_id, (inside.cut_no is null), inside.low_id desc, inside.high_id desc
    )
    select * from bridged
    union all
    select * from weakly_joined;
end
$$;

-- Contacts of one profile that contradict each other, or agree in the year of birth, which two people seldom do. Of names
-- one may be the beginning of the other, years of birth may be written with two digits or be a year apart.
create or replace function identity.contradicted_profiles(rivals integer[])
returns table (
    profile_id integer, reason text, low_id integer, high_id integer, source text, evidence text, found_count integer,
    detail text
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
#variable_conflict use_column
begin
    return query
    with of_profile as materialized (
        select members.profile_id, identifiers.identifier_id, identifiers.value as crm_id
        from identity.members
        inner join identity.identifiers using (identifier_id)
        inner join identity.kinds using (kind_id)
        where members.profile_id = any(rivals) and members.is_named and kinds.kind = 'crm_id'
    ),
    contacts as materialized (
        select distinct on (of_profile.identifier_id)
            of_profile.profile_id, of_profile.identifier_id, contacts.source, contacts.source_key,
            nullif(lower(trim(contacts.first_name)), '') as first_name,
            case when trim(contacts.birth_year) ~ '^[0-9]{2,4}$' then trim(contacts.birth_year)::integer end as born,
            nullif(upper(left(trim(contacts.gender), 1)), '') as gender,
            nullif(upper(trim(contacts.country)), '') as country
        from of_profile
        inner join raw.crm_contacts as contacts on nullif(trim(contacts.crm_id), '') = of_profile.crm_id
        where not contacts.is_deleted
        order by of_profile.identifier_id, contacts.updated_at desc, contacts.raw_id desc
    ),
    compared as materialized (
        select
            one.profile_id, one.identifier_id as low_id, other.identifier_id as high_id, other.source,
            other.source_key,
            not (starts_with(one.first_name, other.first_name) or starts_with(other.first_name, one.first_name))
                as has_other_name,
            case
                when one.born > 99 and other.born > 99 then abs(one.born - other.born) > 1
                else one.born % 100 <> other.born % 100
            end as has_other_year,
            one.gender in ('F', 'M') and other.gender in ('F', 'M') and one.gender <> other.gender as has_other_gender,
            one.country <> other.country as has_other_country
        from contacts as one
        inner join contacts as other
            on other.profile_id = one.profile_id and other.identifier_id > one.identifier_id
    ),
    said as (
        select compared.profile_id, said.reason, low_id, high_id, source, source_key
        from compared
        cross join lateral (
            values
            ('first names differ', has_other_name),
            ('birth years differ', has_other_year),
            ('genders differ', has_other_gender),
            ('countries differ', has_other_country)
        ) as said (reason, is_so)
        where said.is_so
        union all
        select profile_id, 'birth years agree', low_id, high_id, source, source_key
        from compared
        where profile_id in (
            select profile_id from compared group by profile_id
            having bool_and(has_other_year is false)
        )
    )
    select distinct on (said.profile_id, said.reason)
        said.profile_id, said.reason, said.low_id, said.high_id, said.source, said.source_key,
        count(*) over (partition by said.profile_id, said.reason)::integer,
        format('pairs of its CRM contacts: %s', count(*) over (partition by said.profile_id, said.reason))
    from said
    order by said.profile_id, said.reason, said.low_id, said.high_id;
end
$$;

-- Profiles of far more identifiers than others have.
create or replace function identity.oversized_profiles()
returns table (profile_id integer, found_count integer, detail text)
language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
begin
    return query
    with sizes as materialized (
        select members.profile_id, count(*)::integer as size
        from identity.members
        where members.is_named
        group by members.profile_id
    ),
    usual as (
        select percentile_disc(0.99) within group (order by size) as size from sizes
    )
    select
        sizes.profile_id, sizes.size, format('%s identifiers; 99 in 100 profiles have at most %s', sizes.size, usual.size)
    from sizes cross join usual
    where sizes.size > greatest(30, 3 * usual.size);
end
$$;

-- Profiles with nearly as many of a kind as one may hold.
create or replace function identity.nearly_full_profiles(rivals integer[])
returns table (profile_id integer, found_count integer, detail text)
language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
begin
    return query
    select distinct on (members.profile_id)
        members.profile_id, count(*)::integer,
        format('%s × %s; a profile may hold %s', count(*), kinds.kind, kinds.profile_limit)
    from identity.members
    inner join identity.identifiers using (identifier_id)
    inner join identity.kinds using (kind_id)
    where members.profile_id = any(rivals) and members.is_named and kinds.profile_limit > 2
    group by members.profile_id, kinds.kind, kinds.profile_limit
    having count(*) >= kinds.profile_limit - 1
    order by members.profile_id, count(*) - kinds.profile_limit desc, kinds.kind;
end
$$;

-- Profiles at either end of a link that waits for review.
create or replace function identity.held_profiles()
returns table (
    profile_id integer, low_id integer, high_id integer, source text, evidence text, found_count integer, detail text
) language plpgsql stable set plan_cache_mode = force_custom_plan as $$
begin
    return query
    with ends as (
        select held.low_id, held.high_id, members.profile_id
        from identity.held_links as held
        inner join identity.members on members.identifier_id in (held.low_id, held.high_id)
    )
    select distinct on (ends.profile_id)
        ends.profile_id, ends.low_id, ends.high_id, links.source,
        coalesce(nullif(links.record_key, ''), links.evidence),
        count(*) over (partition by ends.profile_id)::integer,
        'a record joins it with another profile'
    from ends
    inner join identity.links
        on links.low_id = ends.low_id and links.high_id = ends.high_id and links.retracted_at is null
    order by ends.profile_id, links.first_seen_at, ends.low_id, ends.high_id;
end
$$;

-- Of some profiles, those whose clients were in two countries or time zones within half an hour.
create or replace function identity.divided_profiles(wanted integer[])
returns table (
    profile_id integer, low_id integer, high_id integer, source text, evidence text, found_count integer, detail text
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
begin
    return query
    with clients as materialized (
        select members.profile_id, identifiers.identifier_id, identifiers.value as anonymous_id
        from identity.members
        inner join identity.identifiers using (identifier_id)
        inner join identity.kinds using (kind_id)
        where members.profile_id = any(wanted) and members.is_named and kinds.kind = 'anonymous_id'
    ),
    seen as (
        select
            clients.profile_id, clients.identifier_id, events.source, events.message_id, events.occurred_at,
            events.context #>> '{location,country}' as country, events.context ->> 'timezone' as timezone
        from raw.events inner join clients on clients.anonymous_id = nullif(trim(events.anonymous_id), '')
        where events.context ? 'location' or events.context ? 'timezone'
    ),
    followed as (
        select
            seen.*, lag(seen.identifier_id) over in_order as former_id, lag(seen.country) over in_order as former_country,
            lag(seen.timezone) over in_order as former_timezone, lag(seen.occurred_at) over in_order as former_at
        from seen
        window in_order as (partition by seen.profile_id order by seen.occurred_at, seen.message_id)
    )
    select distinct on (followed.profile_id)
        followed.profile_id, followed.former_id, followed.identifier_id, followed.source, followed.message_id,
        count(*) over (partition by followed.profile_id)::integer,
        format(
            'moments in two countries or time zones within 30 minutes: %s',
            count(*) over (partition by followed.profile_id)
        )
    from followed
    where followed.identifier_id <> followed.former_id
        and followed.occurred_at - followed.former_at <= interval '30 minutes'
        and coalesce(followed.country <> followed.former_country, followed.timezone <> followed.former_timezone)
    order by followed.profile_id, followed.occurred_at, followed.message_id;
end
$$;

-- Every suspect profile with its reasons, a row each. Points say how much a reason weighs; below zero it speaks for the
-- profile, and alone makes no suspect.
create or replace function identity.suspects()
returns table (
    subscriber_id text, reason text, points integer, identifier text, other_identifier text, source text, evidence text,
    found_count integer, detail text
) language plpgsql stable set plan_cache_mode = force_custom_plan set work_mem = '256MB' as $$
#variable_conflict use_column
declare
    rivals integer[] := identity.rival_profiles();
begin
    return query
    with of_graph as materialized (
        select profile_id, reason, low_id, high_id, source, evidence, found_count, detail
        from identity.contradicted_profiles(rivals)
        union all
        select profile_id, reason, low_id, high_id, source, evidence, found_count, detail
        from identity.loose_profiles(rivals)
        union all
        select profile_id, 'far larger than others', null, null, null, null, found_count, detail
        from identity.oversized_profiles()
        union all
        select profile_id, 'near its limits', null, null, null, null, found_count, detail
        from identity.nearly_full_profiles(rivals)
        union all
        select profile_id, 'a link is held', low_id, high_id, source, evidence, found_count, detail
        from identity.held_profiles()
    ),
    reasons as (
        select * from of_graph
        union all
        select profile_id, 'in two places at one time', low_id, high_id, source, evidence, found_count, detail
        from identity.divided_profiles(array(select profile_id from of_graph where reason <> 'birth years agree'))
    ),
    weights (reason, points) as (
        values
        ('first names differ', 3),
        ('birth years differ', 3),
        ('held together by one record', 3),
        ('joined by clients only', 3),
        ('in two places at one time', 3),
        ('genders differ', 2),
        ('far larger than others', 2),
        ('a link is held', 2),
        ('countries differ', 1),
        ('near its limits', 1),
        ('birth years agree', -2)
    )
    select
        identity.subscriber_id(profile.identifier_key), reasons.reason, weights.points, lk.kind || ':' || l.value,
        hk.kind || ':' || h.value, reasons.source, reasons.evidence, reasons.found_count, reasons.detail
    from reasons
    inner join weights using (reason)
    inner join identity.identifiers as profile on profile.identifier_id = reasons.profile_id
    left join identity.identifiers as l on l.identifier_id = reasons.low_id
    left join identity.kinds as lk on lk.kind_id = l.kind_id
    left join identity.identifiers as h on h.identifier_id = reasons.high_id
    left join identity.kinds as hk on hk.kind_id = h.kind_id
    where reasons.profile_id in (
        select profile_id from reasons inner join weights using (reason) group by profile_id having sum(points) > 0
    );
end
$$;
