-- Devices that several users share, though no more than a household may: which users, by the evidence at as_of.
-- depends_on: {{ ref('int_identifiers_resolved') }}
select
    device_identifier,
    user_identifier,
    household_at_most
from identity.household_devices_at({{ as_of() }})
