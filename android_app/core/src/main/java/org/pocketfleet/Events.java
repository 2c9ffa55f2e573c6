package org.pocketfleet;

import java.util.Locale;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * What a client logs: one line an event, {@code event=name key=value ...}, to the logger {@code
 * pocketfleet.client}.
 */
public final class Events {
  /** The logger that all lines go to. */
  public static final Logger LOGGER = Logger.getLogger("pocketfleet.client");

  private Events() {}

  /** Logs what only someone who looks for a fault wants to know. */
  public static void debug(String format, Object... arguments) {
    log(Level.FINE, null, format, arguments);
  }

  /** Logs what happens in the course of things. */
  public static void info(String format, Object... arguments) {
    log(Level.INFO, null, format, arguments);
  }

  /** Logs what a person may want to do something about. */
  public static void warn(String format, Object... arguments) {
    log(Level.WARNING, null, format, arguments);
  }

  /** Logs what went wrong; {@code cause} may be null. */
  public static void error(Throwable cause, String format, Object... arguments) {
    log(Level.SEVERE, cause, format, arguments);
  }

  private static void log(Level level, Throwable cause, String format, Object... arguments) {
    if (LOGGER.isLoggable(level)) {
      LOGGER.log(level, String.format(Locale.ROOT, format, arguments), cause);
    }
  }
}
