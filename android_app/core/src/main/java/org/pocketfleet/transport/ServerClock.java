package org.pocketfleet.transport;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.function.DoubleSupplier;

/**
 * Seconds since the epoch as the server counts them, as far as a client with a wrong clock can
 * know.
 *
 * <p>A signed request is accepted when its timestamp lies between 305 s before and 5 s after the
 * server's time, and a phone's clock can be wrong by hours. Every answer carries the server's
 * {@code Date}; rounded down to a second it errs to the safe side.
 */
public final class ServerClock {
  /** Offsets below this are noise: the header has whole seconds and travels for a while. */
  private static final double TOLERANCE_S = 2;

  private static final DateTimeFormatter ISO =
      DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'+00:00'", Locale.ROOT)
          .withZone(ZoneOffset.UTC);

  private final DoubleSupplier local;
  private double offsetS;

  /**
   * Makes a clock that trusts the device's until it hears otherwise.
   *
   * @param local the device's own clock, in seconds since the epoch
   */
  public ServerClock(DoubleSupplier local) {
    this.local = local;
  }

  /** What to add to the device's clock to get the server's, in seconds. */
  public synchronized double offsetS() {
    return offsetS;
  }

  /** The server's time in seconds since the epoch. */
  public synchronized double now() {
    return local.getAsDouble() + offsetS;
  }

  /** The server's time as ISO 8601 in UTC. */
  public String timestamp() {
    return iso(now());
  }

  /** A time in seconds since the epoch as ISO 8601 in UTC, with microseconds. */
  public static String iso(double seconds) {
    long whole = (long) Math.floor(seconds);
    return ISO.format(Instant.ofEpochSecond(whole, (long) ((seconds - whole) * 1e9)));
  }

  /**
   * Compares with a {@code Date} header.
   *
   * @param date null: there is none
   * @return whether the clock had to be set
   */
  public synchronized boolean observe(Instant date) {
    if (date == null) {
      return false;
    }
    // The header says only which second it is: the server's clock lies in [server, server + 1).
    double server = date.toEpochMilli() / 1000.0;
    double behind = local.getAsDouble() + offsetS - server;
    if (-TOLERANCE_S < behind && behind < 1 + TOLERANCE_S) {
      return false;
    }
    offsetS = server - local.getAsDouble();
    return true;
  }
}
