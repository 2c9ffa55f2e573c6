package org.pocketfleet.app;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * Marks what uses an Android newer than the oldest supported one, so that the check of the API
 * level passes it over. Only called after a look at {@code Build.VERSION.SDK_INT}.
 */
@Retention(RetentionPolicy.CLASS)
@Target(ElementType.METHOD)
@interface NewerAndroid {
  /** The API level that it needs. */
  int value();
}
