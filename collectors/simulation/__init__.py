"""Simulated racks by subject: who sits where, what fails and when, power, heat, links, telemetry.

Nothing here moves: each part is a function of time, so that any instant can be asked for in
any order. `collectors.racks.World` joins them; `collectors.mock` shows them to an agent.

    layout      racks, trays, places, UUIDs, switch trays
    profiles    every number of the fault process: shares, rates, repair times, its shape
    chance      the one door to randomness: seeded streams
    process     drawing faults of a window
    repair      crews, spares and access windows lengthen what is drawn
    steps       functions of time: constant by pieces, linear by pieces, and their integrals
    faults      kinds of faults, what each hits and how it shows
    incident    faults of one cause, before and after the repair shop
    condition   what faults do to one GPU over time
    power       load, limits, module cap, smoothing: watts and joules
    heat        coolant, temperature, thermal slowdown
    links       NVLink: which links are down, traffic and errors
    tray        the host: up, booted, announced, changed
    view        one GPU as its values need it
    values      the pulse as the catalogue's quantities
    rounds      all other quantities
    telemetry   faults of the telling, apart from faults of the hardware
"""
